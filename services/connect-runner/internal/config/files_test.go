package config

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"
)

// writeFile writes a file to a directory of the test and returns its path.
func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestTaskReadsTheCompactFormat(t *testing.T) {
	configs := []contract.TaskConfig{
		{
			Connector: map[string]string{"connector.class": "C", "topic": "t"},
			Task:      map[string]*string{"topic": new("t"), "id": new("0")},
		},
		{
			Connector: map[string]string{"connector.class": "C", "topic": "t"},
			Task:      map[string]*string{"topic": new("t"), "id": new("1")},
		},
	}
	encoded, err := contract.EncodeCompactTaskConfigs(configs)
	require.NoError(t, err)
	file := writeFile(t, "task.json", string(encoded.Files[1]))
	common := writeFile(t, "common.json.gz", string(encoded.Common))
	hashes := "--task-hashes=" + encoded.Hashes[0] + "," + encoded.Hashes[1]
	c := parse(t, ModeTask, nil, "--name=x", "--task-id=1", "--task-config="+file, "--task-common="+common, hashes)
	got, err := c.ReadTask()
	require.NoError(t, err)
	require.Equal(t, configs[1], got)

	c.TaskCommon = filepath.Join(t.TempDir(), "missing")
	_, err = c.ReadTask()
	require.ErrorContains(t, err, "the mounted config of task 1 needs key common.json.gz, which is missing")
}

func TestDirectoryInPlaceOfTheTaskConfigIsAClearError(t *testing.T) {
	c := parse(t, ModeTask, nil, "--name=x", "--task-id=3", "--task-config="+t.TempDir(), "--task-common="+t.TempDir())
	_, err := c.ReadTask()
	require.EqualError(t, err, "the mounted config of task 3 is a directory: key task-3.json did not exist when this pod "+
		"was created; the pod must be replaced")
}

func TestUnknownFieldsOfTheRunnerConfigAreReportedAndWrongTypesAreRefused(t *testing.T) {
	for _, test := range []struct {
		name, content string
		unknown       []string
		message       string
	}{
		{"known fields", `{"logFile":"/x","plugins":[{"name":"a"}]}`, nil, ""},
		{"fields of a newer version", `{"zeta":1,"logFile":"/x","alpha":{}}`, []string{"alpha", "zeta"}, ""},
		{
			"a string instead of a list",
			`{"jvmOptions":"-Xmx1g"}`,
			nil,
			"jvmOptions must be a list of which each element is a string, not a JSON string",
		},
		{"a number instead of a string", `{"logFile":5}`, nil, "logFile must be a string, not a JSON number"},
		{"a list instead of an object", `{"loggerLevels":[]}`, nil, "loggerLevels must be an object, not a JSON array"},
		{"not an object", `[]`, nil, "is not a valid JSON object"},
		{"truncated", `{"logFile":`, nil, "is not a valid JSON object"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := parse(t, ModeTask, nil, "--runner-config="+writeFile(t, "runner.json", test.content))
			_, unknown, err := c.ReadRunner()
			if test.message != "" {
				require.ErrorContains(t, err, test.message)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.unknown, unknown)
		})
	}
}

func TestConnectorConfigErrorsNameTheKey(t *testing.T) {
	for _, test := range []struct{ name, content, message string }{
		{"valid", `{"connector.class":"C","tasks.max":3,"flag":true,"nothing":null}`, ""},
		{"the same name", `{"connector.class":"C","name":"orders"}`, ""},
		{"another name", `{"connector.class":"C","name":"other"}`, `name is "other", but --name is "orders"; use one name`},
		{"no class", `{"topic":"hunter2"}`, "connector.class is missing; set it to the class of the connector"},
		{
			"a nested object",
			`{"connector.class":"C","transforms":{"a":"hunter2"}}`,
			`key "transforms" is an object; connector configurations are flat`,
		},
		{"a list", `{"connector.class":"C","topics":["hunter2"]}`, `key "topics" is a list`},
		{"not an object", `"hunter2"`, "is not a JSON object (it is another JSON value)"},
		{"a syntax error", "{\n\"a\": \"hunter2\",\n}", "is not a JSON object (syntax error in line 3)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := parse(
				t,
				ModeConnector,
				nil,
				"--name=orders",
				"--connector-config="+writeFile(t, "connector.json", test.content),
			)
			got, err := c.ReadConnector(t.Context())
			if test.message != "" {
				require.ErrorContains(t, err, test.message)
				require.NotContains(t, err.Error(), "hunter2")
				return
			}
			require.NoError(t, err)
			require.Equal(t, "orders", *got["name"])
			if test.name == "valid" {
				require.Equal(t, "3", *got["tasks.max"])
				require.Equal(t, "true", *got["flag"])
				require.Nil(t, got["nothing"])
			}
		})
	}
}

func TestOutdatedConnectorConfigIsReadAgain(t *testing.T) {
	const before, after = `{"connector.class":"Old"}`, `{"connector.class":"New"}`
	file := writeFile(t, "connector.json", before)
	generation := "--generation=" + contract.TaskConfigHash([]byte(after))
	c := parse(t, ModeConnector, nil, "--name=x", "--connector-config="+file, generation)
	_, err := c.readConnector(t.Context(), 50*time.Millisecond, time.Millisecond)
	require.ErrorIs(t, err, ErrConnectorStale)
	require.ErrorContains(t, err, "has hash "+contract.TaskConfigHash([]byte(before)))

	type result struct {
		config map[string]*string
		err    error
	}
	done := make(chan result)
	go func() {
		config, err := c.readConnector(t.Context(), time.Minute, time.Millisecond)
		done <- result{config, err}
	}()
	// The kubelet replaces a mounted file with a rename.
	require.NoError(t, os.WriteFile(file+".new", []byte(after), 0o600))
	require.NoError(t, os.Rename(file+".new", file))
	got := <-done
	require.NoError(t, got.err)
	require.Equal(t, "New", *got.config["connector.class"])

	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	c.Generation = "0000000000000000"
	_, err = c.readConnector(stopped, time.Minute, time.Minute)
	require.ErrorIs(t, err, context.Canceled)
	c.Generation = "7"
	_, err = c.readConnector(t.Context(), time.Minute, time.Millisecond)
	require.NoError(t, err, "a generation that is not a hash is not compared")
}

func FuzzConnectorConfig(f *testing.F) {
	f.Add(`{"connector.class":"C","a":1}`)
	f.Add(`{"a":[`)
	f.Fuzz(func(t *testing.T, content string) {
		c := &Config{Name: "x", ConnectorConfig: "connector.json"}
		if config, err := c.parseConnector([]byte(content)); err == nil {
			require.Equal(t, "x", *config["name"])
		}
	})
}
