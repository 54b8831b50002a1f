package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"
)

func parse(t *testing.T, mode string, env map[string]string, args ...string) *Config {
	t.Helper()
	c := New(mode, func(key string) string { return env[key] })
	f := pflag.NewFlagSet(mode, pflag.ContinueOnError)
	c.AddFlags(f)
	require.NoError(t, f.Parse(args))
	return c
}

func TestEnvironmentOfThePodIsSufficient(t *testing.T) {
	c := parse(t, ModeTask, map[string]string{
		contract.EnvConnector:  "test",
		contract.EnvNamespace:  "ns",
		contract.EnvTaskID:     "10",
		contract.EnvTaskHashes: "a,b",
		contract.EnvZone:       "z",
	})
	require.NoError(t, c.Validate())
	id, err := c.Task()
	require.NoError(t, err)
	require.Equal(t, 10, id)
	require.Equal(t, contract.TaskConfigFile, c.TaskConfig)
	require.Equal(t, "z", c.Zone)
}

func TestAllInvalidFlagsAreReportedTogether(t *testing.T) {
	for _, test := range []struct {
		name, mode string
		args       []string
		action     string
		messages   []string
	}{
		{
			"a task without flags",
			ModeTask,
			nil,
			"",
			[]string{"--name (CONNECTOR_NAME) is required", `--task-id="" (TASK_ID)`},
		},
		{
			"a task id with a leading zero",
			ModeTask,
			[]string{"--name=x", "--task-id=07"},
			"",
			[]string{`--task-id="07" (TASK_ID)`},
		},
		{
			"a negative task id",
			ModeTask,
			[]string{"--name=x", "--task-id=-1"},
			"",
			[]string{`--task-id="-1" (TASK_ID): must be a decimal number, 0 or more`},
		},
		{
			"a connector without a destination",
			ModeConnector,
			[]string{"--name=x"},
			"",
			[]string{"--namespace (POD_NAMESPACE) is required; outside Kubernetes use --publish-to"},
		},
		{
			"unknown values",
			ModeValidate,
			[]string{"--name=x", "--sink-group=mine", "--offsets-topic=a b"},
			"",
			[]string{`--sink-group="mine": must be namespaced or connect`, `--offsets-topic="a b" (OFFSETS_TOPIC): must be`},
		},
		{"limits that are not positive", ModeTask, []string{
			"--name=x",
			"--task-id=0",
			"--grace=0s",
			"--heartbeat-timeout=-1s",
			"--plugin-max-bytes=0",
			"--hub-url=hub",
		}, "", []string{
			"--grace: must be more than 0", "--heartbeat-timeout: must be more than 0",
			"--plugin-max-bytes: must be more than 0", `--hub-url="hub": must be an http or https URL`}},
		{"alter without a file", ModeOffsets, []string{"--name=x"}, "alter", []string{"--offsets is required"}},
		{"fence without a count", ModeOffsets, []string{"--name=x"}, "fence", []string{"--fence-tasks is required"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := parse(t, test.mode, nil, test.args...)
			c.OffsetsAction = test.action
			err := c.Validate()
			for _, m := range test.messages {
				require.ErrorContains(t, err, m)
			}
		})
	}
}

func TestMountedTaskConfigMustMatchThePodsHash(t *testing.T) {
	content := `{"connector":{"name":"x"},"task":{"a":"b"}}`
	hash := contract.TaskConfigHash([]byte(content))
	for _, test := range []struct {
		name, content, hashes, message string
	}{
		{"the expected config", content, "zero," + hash, ""},
		{"no expected hash", content, "", ""},
		{"the config of another task", content, hash + ",other", "the mounted config of task 1 has hash"},
		{"a pod created for fewer tasks", content, hash, "task 1 does not exist; this pod was created for 1 tasks"},
		{"truncated", content[:20], "zero," + hash, "is not a JSON object with the string maps connector and task"},
		{"null", "null", "", "is not a JSON object with the string maps connector and task"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "task.json")
			require.NoError(t, os.WriteFile(file, []byte(test.content), 0o600))
			c := parse(
				t,
				ModeTask,
				nil,
				"--name=x",
				"--task-id=1",
				"--task-config="+file,
				"--task-common=/nonexistent",
				"--task-hashes="+test.hashes,
			)
			_, err := c.ReadTask()
			if test.message == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.message)
		})
	}
}

func TestRunnerConfigIsOptional(t *testing.T) {
	c := parse(t, ModeValidate, nil, "--name=x", "--runner-config=/nonexistent/runner.json")
	got, _, err := c.ReadRunner()
	require.NoError(t, err)
	require.Empty(t, got.DownloadPlugins)
	file := filepath.Join(t.TempDir(), "runner.json")
	require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	c = parse(t, ModeValidate, nil, "--name=x", "--runner-config="+file)
	_, _, err = c.ReadRunner()
	require.ErrorContains(t, err, "is not a valid JSON object")
}

func TestRunnerConfigExpandsVariablesOfThePod(t *testing.T) {
	file := filepath.Join(t.TempDir(), "runner.json")
	require.NoError(
		t,
		os.WriteFile(
			file,
			[]byte(
				`{"logFile":"/mnt/$(POD_NAME)-connect.log","jvm`+
					`Options":["-Xlog:gc*:file=/mnt/gc-$(TASK_ID).log","-Dother=$(OTHER)"]}`,
			),
			0o600,
		),
	)
	c := parse(
		t,
		ModeTask,
		map[string]string{contract.EnvPod: "orders-tasks-10", contract.EnvTaskID: "10"},
		"--runner-config="+file,
	)
	got, _, err := c.ReadRunner()
	require.NoError(t, err)
	require.Equal(t, "/mnt/orders-tasks-10-connect.log", got.LogFile)
	require.Equal(t, []string{"-Xlog:gc*:file=/mnt/gc-10.log", "-Dother=$(OTHER)"}, got.JVMOptions)
}
