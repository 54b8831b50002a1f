package contract

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// taskConfigs returns configs of tasks that repeat the connector's settings and add an id, as most connectors do.
func taskConfigs(tasks int, connector map[string]string) []TaskConfig {
	var configs []TaskConfig
	for id := range tasks {
		task := map[string]*string{"task.class": new("org.example.Task"), "task.id": new(fmt.Sprint(id)), "nothing": nil}
		for key, value := range connector {
			task[key] = &value
		}
		configs = append(configs, TaskConfig{Connector: connector, Task: task})
	}
	return configs
}

// wide returns a connector with random values, which do not compress well.
func wide(keys, length int) map[string]string {
	random := rand.New(rand.NewPCG(1, 2))
	connector := map[string]string{"connector.class": "org.example.Source"}
	for i := range keys {
		value := make([]byte, length)
		for j := range value {
			value[j] = byte('a' + random.IntN(26))
		}
		connector[fmt.Sprintf("setting.%d", i)] = string(value)
	}
	return connector
}

func TestBothFormatsReadBackWithEqualHashes(t *testing.T) {
	configs := taskConfigs(3, map[string]string{"connector.class": "C", "password": "s3cret", "topic": "t"})
	configs[1].Task["topic"] = new("other")
	configs[2].Task["padding"] = new(strings.Repeat("x", 5000))
	plain, err := EncodeTaskConfigs(configs)
	require.NoError(t, err)
	compact, err := EncodeCompactTaskConfigs(configs)
	require.NoError(t, err)
	require.Equal(t, plain.Hashes, compact.Hashes, "a change of the format restarts no task")
	for name, encoded := range map[string]EncodedTaskConfigs{"plain": plain, "compact": compact} {
		data := encoded.Data()
		reader := NewTaskConfigReader(data[TaskCommonKey])
		for id, want := range configs {
			got, hash, err := reader.Read(data[TaskConfigKey(id)])
			require.NoError(t, err, name)
			require.Equal(t, want, got, name)
			require.Equal(t, plain.Hashes[id], hash, name)
		}
	}
	require.Less(t, len(compact.Files[2]), 500, "large files are compressed")
}

func TestPlainFormatIsThatOfEarlierVersions(t *testing.T) {
	encoded, err := EncodeTaskConfigs([]TaskConfig{{
		Connector: map[string]string{"b": "2", "a": "1"}, Task: map[string]*string{"d": new("4"), "c": new("3")},
	}})
	require.NoError(t, err)
	require.Equal(t, `{"connector":{"a":"1","b":"2"},"task":{"c":"3","d":"4"}}`, string(encoded.Files[0]))
	require.NotContains(t, encoded.Data(), TaskCommonKey)
}

func TestNullValuesAreKept(t *testing.T) {
	configs := taskConfigs(2, map[string]string{"connector.class": "C"})
	configs[1].Task["own"] = nil
	for _, encode := range []func([]TaskConfig) (EncodedTaskConfigs, error){EncodeTaskConfigs, EncodeCompactTaskConfigs} {
		encoded, err := encode(configs)
		require.NoError(t, err)
		got, _, err := NewTaskConfigReader(encoded.Common).Read(encoded.Files[1])
		require.NoError(t, err)
		for _, key := range []string{"nothing", "own"} {
			value, ok := got.Task[key]
			require.True(t, ok && value == nil, "%s is null, not missing and not empty", key)
		}
	}
}

func TestCompactFormatFitsLargeConfigsIntoOneSecret(t *testing.T) {
	for _, test := range []struct {
		name      string
		tasks     int
		connector map[string]string
	}{
		{"137 tasks of a wide config", 137, wide(200, 60)},
		{"5 tasks and 300 KiB of connectorConfig", 5, wide(300, 1024)},
	} {
		t.Run(test.name, func(t *testing.T) {
			configs := taskConfigs(test.tasks, test.connector)
			plain, err := EncodeTaskConfigs(configs)
			require.NoError(t, err)
			compact, err := EncodeCompactTaskConfigs(configs)
			require.NoError(t, err)
			t.Logf("plain %d KiB, compact %d KiB", plain.Size()>>10, compact.Size()>>10)
			require.Greater(t, plain.Size(), 1<<20)
			require.Less(t, compact.Size(), 300<<10)
		})
	}
}

func TestChangedCommonPartIsDetected(t *testing.T) {
	encoded, err := EncodeCompactTaskConfigs(taskConfigs(2, map[string]string{"connector.class": "C", "topic": "a"}))
	require.NoError(t, err)
	other, err := EncodeCompactTaskConfigs(taskConfigs(2, map[string]string{"connector.class": "C", "topic": "b"}))
	require.NoError(t, err)
	require.NotEqual(t, encoded.Hashes, other.Hashes, "the hash of a task covers the common part")
	_, _, err = NewTaskConfigReader(other.Common).Read(encoded.Files[0])
	require.ErrorContains(t, err, "belongs to another version of key common.json.gz")
	_, _, err = NewTaskConfigReader(nil).Read(encoded.Files[0])
	require.ErrorContains(t, err, "needs key common.json.gz, which is missing")
	_, _, err = NewTaskConfigReader(encoded.Common[:20]).Read(encoded.Files[0])
	require.ErrorContains(t, err, "needs key common.json.gz, which is invalid: is not a valid gzip file")
	bomb, err := compress([]byte(strings.Repeat(" ", maxDecoded+1)))
	require.NoError(t, err)
	_, _, err = NewTaskConfigReader(nil).Read(bomb)
	require.ErrorContains(t, err, "is larger than 32 MiB after decompression")
}

func TestTasksWithDifferentConnectorConfigurationsAreNotMerged(t *testing.T) {
	configs := taskConfigs(2, map[string]string{"connector.class": "C"})
	configs[1].Connector = map[string]string{"connector.class": "D"}
	_, err := EncodeCompactTaskConfigs(configs)
	require.ErrorContains(t, err, "the config of task 1")
}

func TestErrorsOfTaskConfigsQuoteNoValues(t *testing.T) {
	for _, file := range []string{
		"hunter2", `{"connector":{"a":"hunter2"}}`, `{"connector":{},"task":{"a":5,"b":"hunter2"}}`, `{"hunter2":1}`,
		`{"common":"x","hunter2":"hunter2"}`, `{"connector":{},"task":{}} hunter2`, "\x1f\x8bhunter2",
	} {
		_, _, err := NewTaskConfigReader(nil).Read([]byte(file))
		require.Error(t, err, file)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func FuzzTaskConfigReader(f *testing.F) {
	encoded, err := EncodeCompactTaskConfigs(taskConfigs(2, map[string]string{"connector.class": "C"}))
	require.NoError(f, err)
	f.Add(encoded.Files[0], encoded.Common)
	f.Add([]byte(`{"connector":{"a":"b"},"task":{"c":null}}`), []byte(nil))
	f.Add([]byte(`{"common":"","task":null}`), []byte("{}"))
	f.Fuzz(func(t *testing.T, file, common []byte) {
		config, hash, err := NewTaskConfigReader(common).Read(file)
		if err != nil {
			return
		}
		require.NotEmpty(t, hash)
		again, err := EncodeCompactTaskConfigs([]TaskConfig{config})
		require.NoError(t, err)
		got, _, err := NewTaskConfigReader(again.Common).Read(again.Files[0])
		require.NoError(t, err)
		require.True(t, maps.Equal(config.Connector, got.Connector))
		require.Len(t, got.Task, len(config.Task))
	})
}
