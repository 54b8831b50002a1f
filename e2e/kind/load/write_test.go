package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAWriterReportsTheErrorOfAnOpenFileAndOpensItAgain(t *testing.T) {
	t.Parallel()
	w := writer{directory: t.TempDir(), name: "pod"}
	require.NoError(t, w.write(1))
	first := w.file
	require.NoError(t, w.write(2))
	require.Same(t, first, w.file, "the file stays open")
	require.NoError(t, first.Close())
	require.ErrorIs(t, w.write(3), os.ErrClosed)
	require.NoError(t, w.write(4))
	data, err := os.ReadFile(filepath.Join(w.directory, "pod.log"))
	require.NoError(t, err)
	require.Equal(t, "1\n2\n4\n", string(data))
	w.directory = filepath.Join(w.directory, "missing")
	require.ErrorIs(t, w.write(5), os.ErrNotExist, "the other file cannot be written")
}
