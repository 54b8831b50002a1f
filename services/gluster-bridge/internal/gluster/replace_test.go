//go:build linux

package gluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
	testgluster "github.com/weir-dev/weir/pkg/testkit/gluster"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// TestMountBelowTheVolumeIsKeptIfTheNewClientEndsDuringTheScan: a scan of many containers takes longer than the new
// client may live.
func TestMountBelowTheVolumeIsKeptIfTheNewClientEndsDuringTheScan(t *testing.T) {
	testgluster.Need(t)
	cluster := testgluster.New(t)
	cluster.Volume("r3", "replica", "3")
	dir := t.TempDir()
	pool := &Pool{Root: filepath.Join(dir, "mounts"), Logs: dir, Records: true}
	t.Cleanup(pool.UnmountAll)
	h := pool.Of(decide.Mountable{Hosts: testgluster.Hosts(), Port: decide.DefaultPort, Name: "r3"})
	mount := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, h.Mount(ctx))
	}
	mount()
	emptyDir, target := filepath.Join(dir, "empty"), filepath.Join(dir, "target")
	nested := filepath.Join(target, "nested")
	for _, name := range []string{emptyDir, target, filepath.Join(h.Point, "pvc"), filepath.Join(h.Point, "pvc/nested")} {
		require.NoError(t, os.MkdirAll(name, 0o700))
	}
	require.NoError(t, os.WriteFile(filepath.Join(emptyDir, "file"), nil, 0o600))
	bind := func(source, target string) {
		require.NoError(t, unix.Mount(source, target, "", unix.MS_BIND, ""))
		t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
	}
	bind(filepath.Join(h.Point, "pvc"), target)
	bind(emptyDir, nested)

	recovery := &Recovery{Pool: pool, clients: map[string]*clientState{}}
	state := recovery.stateOf(h)
	recovery.remember(h, state, false)
	own, err := node.NamespaceOf(os.Getpid())
	require.NoError(t, err)
	for range 3 {
		// The kernel removes what is mounted below a client that has ended if its path is accessed at the wrong time.
		below, err := unix.Open(nested, unix.O_PATH|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		killClient(t, h.Point)
		require.NoError(t, unix.Unmount(fmt.Sprintf("/proc/self/fd/%d", below), unix.MNT_DETACH))
		require.NoError(t, unix.Close(below))
		mount()
		// The first namespace of a scan that does not end before the new client does.
		s := &scan{recovery: recovery, hosted: h, state: state, ended: pool.ended(), host: own}
		replaced, problems, err := s.replaceIn(own)
		require.NoError(t, err)
		require.Empty(t, problems)
		require.Equal(t, 1, replaced)
		require.FileExists(t, filepath.Join(nested, "file"), "the container would write to the volume instead")
	}
}

// killClient kills the client that is mounted at a directory.
func killClient(t *testing.T, point string) {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	killed := 0
	for _, name := range processes {
		line, err := os.ReadFile(name)
		if err != nil || !bytes.HasPrefix(line, []byte("glusterfs\x00")) || !bytes.HasSuffix(line, []byte(point+"\x00")) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		require.NoError(t, err)
		require.NoError(t, unix.Kill(pid, unix.SIGKILL))
		killed++
	}
	require.Equal(t, 1, killed)
}
