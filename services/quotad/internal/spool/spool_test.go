//go:build linux

package spool_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/services/quotad/internal/decide"
	"github.com/weir-dev/weir/services/quotad/internal/spool"
)

// TestRequestsInANewSpoolDirectoryAreReported: they cause no check of all directories.
func TestRequestsInANewSpoolDirectoryAreReported(t *testing.T) {
	t.Parallel()
	brick := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	changed, started, ended := make(chan string, 1000), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- spool.Watch(ctx, brick, spool.Handler{
			Changed: func(name string) { changed <- name }, Started: func() { close(started) },
			Overflowed: func() { changed <- "overflow" },
		})
	}()
	<-started
	expect := func(name string) {
		t.Helper()
		for {
			select {
			case got := <-changed:
				if got == name {
					return
				}
				require.NotEqual(t, "overflow", got)
				require.NotEqual(t, ".temporary", got)
			case <-time.After(10 * time.Second):
				t.Fatalf("%s is not reported", name)
			}
		}
	}
	directory := filepath.Join(brick, decide.SpoolRoot)
	for _, name := range []string{"pvc-1", "pvc-2"} {
		require.NoError(t, os.MkdirAll(directory, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(directory, ".temporary"), nil, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(directory, name), nil, 0o600))
		expect(name)
		require.NoError(t, os.WriteFile(filepath.Join(directory, name+"-later"), nil, 0o600))
		expect(name + "-later")
		require.NoError(t, os.RemoveAll(directory))
	}
	cancel()
	require.NoError(t, <-ended)
}
