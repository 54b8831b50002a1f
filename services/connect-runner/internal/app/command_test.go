package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"
)

func TestInvalidCommandLinesExitWithTwo(t *testing.T) {
	for _, args := range [][]string{
		{"conector"},
		{"task", "--nam-e", "x"},
		{"task"},
		{"validate"},
		{"offsets", "alter", "--name", "x"},
		{"connector", "extra"},
	} {
		require.Equal(t, ExitUsage, Main(args), args)
	}
}

func TestFailureBeforeTheJVMStartsWritesATerminationMessage(t *testing.T) {
	dir := t.TempDir()
	termination := filepath.Join(dir, "termination")
	code := Main(
		[]string{
			"task",
			"--name",
			"x",
			"--task-id",
			"0",
			"--task-config",
			filepath.Join(dir, "none"),
			"--metrics-address",
			"",
			"--termination-log",
			termination,
		},
	)
	require.Equal(t, 14, code)
	text, err := os.ReadFile(termination)
	require.NoError(t, err)
	got, ok := contract.ParseTermination(string(text))
	require.True(t, ok)
	require.Equal(t, contract.ReasonTaskConfigStale, got.Reason)

	connector := filepath.Join(dir, "connector.json")
	require.NoError(t, os.WriteFile(connector, []byte(`{"connector.class":"C"}`), 0o600))
	code = Main(
		[]string{
			"validate",
			"--name",
			"x",
			"--connector-config",
			connector,
			"--lib",
			dir,
			"--plugin-dir",
			dir,
			"--metrics-address",
			"",
			"--termination-log",
			termination,
		},
	)
	require.Equal(t, 1, code)
	text, err = os.ReadFile(termination)
	require.NoError(t, err)
	require.Contains(t, string(text), "start the JVM: no jars in")
}
