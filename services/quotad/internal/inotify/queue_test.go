//go:build linux

package inotify_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/services/quotad/internal/inotify"
)

func TestEndOfTheContextIsNoErrorOfAQueue(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	queue, err := inotify.New(ctx)
	require.NoError(t, err)
	dir, err := node.OpenDir(t.TempDir())
	require.NoError(t, err)
	defer func() { _ = dir.Close() }()
	_, err = queue.Add(dir, unix.IN_CREATE)
	require.NoError(t, err)
	cancel()
	// The end of the context closes the queue in another goroutine.
	for range 1000 {
		_, err = queue.Add(dir, unix.IN_CREATE)
		require.NoError(t, err)
	}
	events, err := queue.Read()
	require.NoError(t, err)
	require.Empty(t, events)
	_ = queue.Close()
}
