//go:build linux

package xfsquota_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/pkg/node/xfsquota"
	"github.com/weir-dev/weir/pkg/testkit/disk"
)

func TestMain(m *testing.M) { disk.Main(m) }

func open(t *testing.T, name string) *node.Dir {
	t.Helper()
	d, err := node.OpenDir(name)
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestFileSystemWithoutProjectQuotaIsUnsupported(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"xfs", "ext4"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			point := t.TempDir()
			disk.New(t, name).Mount(point)
			q := xfsquota.New(open(t, point))
			accounted, enforced, err := q.State()
			require.NoError(t, err)
			require.False(t, accounted || enforced)
			require.ErrorIs(t, q.SetLimit(7, 1<<20), xfsquota.ErrUnsupported)
			_, err = q.Get(7)
			require.ErrorIs(t, err, xfsquota.ErrUnsupported)
			_, err = q.Next(7)
			require.ErrorIs(t, err, xfsquota.ErrUnsupported)
		})
	}
}

// The project of an inode does not need a kernel with quota.
func TestDirectoryAndItsContentsAreAssignedToAProject(t *testing.T) {
	t.Parallel()
	point := t.TempDir()
	disk.New(t, "xfs").Mount(point)
	inner := filepath.Join(point, "volume/a/b")
	require.NoError(t, os.MkdirAll(inner, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(inner, "file"), []byte("x"), 0o600))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(inner, "link")))
	require.NoError(t, unix.Mkfifo(filepath.Join(inner, "pipe"), 0o600))
	volume := open(t, filepath.Join(point, "volume"))
	for range 2 {
		require.NoError(t, xfsquota.Assign(t.Context(), volume, 4711))
	}
	require.NoError(t, os.WriteFile(filepath.Join(inner, "later"), []byte("x"), 0o600))
	for name, inherit := range map[string]bool{".": true, "a": true, "a/b": true, "a/b/file": false, "a/b/later": false} {
		file, err := volume.Open(name, unix.O_RDONLY, 0)
		require.NoError(t, err)
		project, err := xfsquota.ProjectOf(file)
		require.NoError(t, err)
		require.NoError(t, file.Close())
		require.Equal(t, xfsquota.Project{ID: 4711, Inherit: inherit}, project, name)
	}
	outside, err := xfsquota.ProjectOf(open(t, point).File())
	require.NoError(t, err)
	require.Zero(t, outside)
}

func TestMountPointInsideIsNotAssigned(t *testing.T) {
	t.Parallel()
	point, outside := t.TempDir(), t.TempDir()
	disk.New(t, "xfs").Mount(point)
	inner := filepath.Join(point, "inner")
	require.NoError(t, os.Mkdir(inner, 0o700))
	require.NoError(t, unix.Mount(outside, inner, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(inner, unix.MNT_DETACH) })
	require.ErrorIs(t, xfsquota.Assign(t.Context(), open(t, point), 4711), unix.EXDEV)
}
