package config

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"
)

// exampleOf returns the JSON example that follows the description of a file in the README.
func exampleOf(t *testing.T, file string) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(readme), "`"+file+"`: ")
	require.True(t, found, "the README describes %s", file)
	_, rest, found = strings.Cut(rest, "```json\n")
	require.True(t, found, "the README has an example of %s", file)
	example, _, _ := strings.Cut(rest, "```")
	return example
}

func TestExamplesOfTheReadmeAreValid(t *testing.T) {
	t.Run("connector.json", func(t *testing.T) {
		example := exampleOf(t, contract.ConnectorConfigFile)
		c := parse(t, ModeConnector, nil, "--name=orders", "--connector-config="+writeFile(t, "connector.json", example),
			"--generation="+contract.TaskConfigHash([]byte(example)))
		got, err := c.ReadConnector(t.Context())
		require.NoError(t, err)
		require.Equal(t, "${file:/mnt/secrets/db.properties:password}", *got["database.password"])
	})
	t.Run("runner.json", func(t *testing.T) {
		c := parse(t, ModeTask, map[string]string{contract.EnvPod: "orders-tasks-3", contract.EnvTaskID: "3"},
			"--runner-config="+writeFile(t, "runner.json", exampleOf(t, contract.RunnerConfigFile)))
		got, unknown, err := c.ReadRunner()
		require.NoError(t, err)
		require.Empty(t, unknown)
		require.Equal(t, "/mnt/logs/orders-tasks-3.log", got.LogFile)
		require.Equal(t, []string{"-Xlog:gc*:file=/mnt/logs/gc-3.log"}, got.JVMOptions)
		require.NotEmpty(t, got.DownloadPlugins)
		require.NotEmpty(t, got.Plugins)
		require.NotEmpty(t, got.LoggerLevels)
	})
}
