//go:build linux

package gluster

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// waiting are clients of a volume that nothing serves: each call lasts until its context ends.
type waiting struct{ running, most atomic.Int32 }

func (w *waiting) Mount(ctx context.Context, _ decide.Mountable) error {
	n := w.running.Add(1)
	defer w.running.Add(-1)
	w.most.Store(max(n, w.most.Load()))
	<-ctx.Done()
	return context.Cause(ctx)
}

func (*waiting) Unmount(context.Context, decide.Mountable) error { return errors.New("device is busy") }

func (*waiting) Running(_ context.Context, m decide.Mountable) (bool, error) {
	return m.Name == "r3", nil
}

// serve serves clients at a unix socket.
func serve(t *testing.T, c Clients, timeout time.Duration) *Remote {
	t.Helper()
	dir, err := os.MkdirTemp("", "clients")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "socket")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	require.NoError(t, err)
	server := &http.Server{Handler: Handler(c, timeout, slog.New(slog.DiscardHandler)), ReadHeaderTimeout: time.Minute}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		assert.ErrorIs(t, <-done, http.ErrServerClosed)
	})
	return NewRemote(socket)
}

func TestErrorsOfTheClientsReachTheNodeProcess(t *testing.T) {
	t.Parallel()
	r := serve(t, &waiting{}, 50*time.Millisecond)
	require.EqualError(t, r.Unmount(t.Context(), volume), "device is busy")
	require.ErrorContains(t, r.Mount(t.Context(), volume), "deadline exceeded")
	running, err := r.Running(t.Context(), volume)
	require.NoError(t, err)
	require.True(t, running)
	other := volume
	other.Name = "r4"
	running, err = r.Running(t.Context(), other)
	require.NoError(t, err)
	require.False(t, running)
	hostile := volume
	hostile.Options = []string{"volfile=/etc/shadow"}
	require.ErrorContains(t, r.Mount(t.Context(), hostile), "is not an allowed mount option")
	hostile = volume
	hostile.Name = "../../etc"
	require.ErrorContains(t, r.Mount(t.Context(), hostile), `volume "../../etc"`)
}

func TestAVolumeIsMountedByOneRequestAtATime(t *testing.T) {
	t.Parallel()
	clients := &waiting{}
	r := serve(t, clients, 100*time.Millisecond)
	results := make(chan error, 4)
	for range cap(results) {
		go func() { results <- r.Mount(t.Context(), volume) }()
	}
	for range cap(results) {
		require.Error(t, <-results)
	}
	require.EqualValues(t, 1, clients.most.Load())
}

func TestAMissingProcessOfTheClientsIsNamed(t *testing.T) {
	t.Parallel()
	err := NewRemote(filepath.Join(t.TempDir(), "socket")).Mount(t.Context(), volume)
	require.ErrorContains(t, err, "check the DaemonSet gluster-bridge-clients on this node")
}
