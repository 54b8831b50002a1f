package integration

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

// wide returns lines of connectorConfig with random values, which do not compress well.
func wide(keys, length int) []string {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // not a secret
	var lines []string
	for i := range keys {
		value := make([]byte, length)
		for j := range value {
			value[j] = byte('a' + random.IntN(26))
		}
		lines = append(lines, fmt.Sprintf("setting.%d: %s", i, value))
	}
	return lines
}

// The plain format of both would exceed the size of a Secret.
func TestLargeTaskConfigsFitIntoOneSecret(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		tasks  int
		config []string
	}{
		{"137 tasks of a wide config", 137, wide(200, 60)},
		{"5 tasks and 300 KiB of connectorConfig", 5, wide(300, 1024)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			env := testenv.New(t)
			env.StartConnector("test", int32(test.tasks), test.config...) //nolint:gosec // small
			data := taskSecret(env)
			require.Contains(t, data, contract.TaskCommonKey)
			reader := contract.NewTaskConfigReader(data[contract.TaskCommonKey])
			for id, task := range env.Connector("test").Status.Tasks {
				config, hash, err := reader.Read(data[contract.TaskConfigKey(id)])
				require.NoError(t, err)
				require.Equal(t, hash, task.ConfigHash)
				require.Equal(t, fmt.Sprint(id), *config.Task["task.id"])
			}
			before := env.PodUIDs()
			env.Patch("test", `{"spec":{"connectorConfig":{"fake.task.3.table":"orders"}}}`)
			env.WaitRestarted(before, 2)
			env.WaitReady("test", int32(test.tasks)) //nolint:gosec // small
			require.Equal(t, []string{"test-connector-0", "test-tasks-3"}, env.Restarted(before))
		})
	}
}
