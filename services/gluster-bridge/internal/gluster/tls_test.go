//go:build linux

package gluster

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	testgluster "github.com/weir-dev/weir/pkg/testkit/gluster"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

func TestMain(m *testing.M) { testgluster.Main(m) }

// TestAServerWithSecureAccessIsMountedWithTheSameFile: glusterd itself requires TLS.
func TestAServerWithSecureAccessIsMountedWithTheSameFile(t *testing.T) {
	testgluster.Need(t)
	file := testgluster.RequireTLS(t)
	cluster := testgluster.New(t)
	cluster.Volume("r3", "replica", "3")
	dir := t.TempDir()
	local := &Local{Root: filepath.Join(dir, "mounts"), Logs: dir}
	volume := decide.Mountable{Hosts: testgluster.Hosts(), Port: decide.DefaultPort, Name: "r3"}
	mount := func(timeout time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		return local.Mount(ctx, volume)
	}
	t.Cleanup(func() { require.NoError(t, local.Unmount(context.Background(), volume)) })

	require.NoError(t, os.Rename(file, file+".moved"))
	require.ErrorContains(t, mount(5*time.Second), "with TLS if glusterd has secure-access")
	require.NoError(t, os.Rename(file+".moved", file))
	require.NoError(t, mount(time.Minute))
	require.NoError(t, os.WriteFile(filepath.Join(local.Root, Key(volume), "file"), nil, 0o600))
}
