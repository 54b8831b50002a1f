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

func TestThePodsEnvironmentIsEnough(t *testing.T) {
	c := parse(t, ModeTask, map[string]string{
		contract.EnvConnector: "test", contract.EnvNamespace: "ns", contract.EnvTaskID: "10", contract.EnvTaskHashes: "a,b", contract.EnvZone: "z",
	})
	require.NoError(t, c.Validate())
	id, err := c.Task()
	require.NoError(t, err)
	require.Equal(t, 10, id)
	require.Equal(t, contract.TaskConfigFile, c.TaskConfig)
	require.Equal(t, "z", c.Zone)
}

func TestFlagsThatCannotBeUsedAreReportedAllAtOnce(t *testing.T) {
	for _, test := range []struct {
		name, mode string
		args       []string
		action     string
		messages   []string
	}{
		{"nothing at all for a task", ModeTask, nil, "", []string{"--name (CONNECTOR_NAME) is required", `--task-id (TASK_ID) ""`}},
		{"a task id that is no number", ModeTask, []string{"--name=x", "--task-id=07"}, "", []string{`--task-id (TASK_ID) "07"`}},
		{"a negative task id", ModeTask, []string{"--name=x", "--task-id=-1"}, "", []string{`"-1": a whole number from 0 is wanted`}},
		{"a connector that nobody can hear", ModeConnector, []string{"--name=x"}, "", []string{"--namespace (POD_NAMESPACE) is required, or --publish-to"}},
		{"words that are not known", ModeValidate, []string{"--name=x", "--log-format=xml", "--sink-group=mine"}, "", []string{`--log-format "xml"`, `--sink-group "mine"`}},
		{"limits that leave no room", ModeTask, []string{"--name=x", "--task-id=0", "--grace=0s", "--heartbeat-timeout=-1s", "--plugin-max-bytes=0", "--hub-url=hub"}, "", []string{
			"--grace has to be more than 0", "--heartbeat-timeout has to be more than 0", "--plugin-max-bytes has to be more than 0", `--hub-url "hub": an http or https address is wanted`}},
		{"offsets to write without a file", ModeOffsets, []string{"--name=x"}, "alter", []string{"--offsets is required"}},
		{"nothing to fence", ModeOffsets, []string{"--name=x"}, "fence", []string{"--fence-tasks is required"}},
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

func TestTheMountedTaskConfigHasToBeThePodsOwn(t *testing.T) {
	content := `{"connector":{"name":"x"},"task":{"a":"b"}}`
	hash := contract.TaskConfigHash([]byte(content))
	for _, test := range []struct {
		name, content, hashes, message string
	}{
		{"its own", content, "zero," + hash, ""},
		{"no expectation", content, "", ""},
		{"another task's", content, hash + ",other", "the mounted configuration of task 1 has hash"},
		{"of a time with fewer tasks", content, hash, "task 1 is not one of the 1 tasks"},
		{"torn", content[:20], "zero," + hash, "is torn"},
		{"null", "null", "", "is torn"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "task.json")
			require.NoError(t, os.WriteFile(file, []byte(test.content), 0o600))
			c := parse(t, ModeTask, nil, "--name=x", "--task-id=1", "--task-config="+file, "--task-hashes="+test.hashes)
			err := c.CheckTask()
			if test.message == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.message)
		})
	}
}

func TestTheRunnerConfigNeedNotExist(t *testing.T) {
	c := parse(t, ModeValidate, nil, "--name=x", "--runner-config=/nonexistent/runner.json")
	got, err := c.ReadRunner()
	require.NoError(t, err)
	require.Empty(t, got.DownloadPlugins)
	file := filepath.Join(t.TempDir(), "runner.json")
	require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	c = parse(t, ModeValidate, nil, "--name=x", "--runner-config="+file)
	_, err = c.ReadRunner()
	require.ErrorContains(t, err, "read runner configuration")
}

func TestTheRunnerConfigIsOfThePodThatReadsIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "runner.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"logFile":"/mnt/$(POD_NAME)-connect.log","jvmOptions":["-Xlog:gc*:file=/mnt/gc-$(TASK_ID).log","-Dother=$(OTHER)"]}`), 0o600))
	c := parse(t, ModeTask, map[string]string{contract.EnvPod: "orders-tasks-10", contract.EnvTaskID: "10"}, "--runner-config="+file)
	got, err := c.ReadRunner()
	require.NoError(t, err)
	require.Equal(t, "/mnt/orders-tasks-10-connect.log", got.LogFile)
	require.Equal(t, []string{"-Xlog:gc*:file=/mnt/gc-10.log", "-Dother=$(OTHER)"}, got.JVMOptions)
}
