//go:build linux

package gluster

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// TestDirectoryThatAnInterruptedCallHasLeftGetsItsMode: otherwise pods that do not run as root could not write.
func TestDirectoryThatAnInterruptedCallHasLeftGetsItsMode(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	tree, err := OpenTree(root)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tree.Close() })
	directory := filepath.Join(root, decide.DataPath("pvc-1"))
	mode := func() fs.FileMode {
		info, err := os.Stat(directory)
		require.NoError(t, err)
		return info.Mode() &^ fs.ModeDir
	}
	require.NoError(t, tree.Ensure("pvc-1"))
	require.Equal(t, fs.ModeSetgid|0o777, mode())

	require.NoError(t, os.Chmod(directory, 0o755))
	require.NoError(t, tree.Ensure("pvc-1"))
	require.Equal(t, fs.ModeSetgid|0o777, mode())

	require.NoError(t, os.WriteFile(filepath.Join(directory, "data"), nil, 0o600))
	require.NoError(t, os.Chmod(directory, 0o750))
	require.NoError(t, tree.Ensure("pvc-1"))
	require.Equal(t, fs.FileMode(0o750), mode(), "the mode that a user has chosen stays")
}
