//go:build linux && !race

// The race detector does not run under user-mode Linux: it needs more address space.

package quotakernel_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/pkg/node/xfsquota"
	"github.com/weir-dev/weir/pkg/testkit/quotakernel"
)

func TestMain(m *testing.M) { quotakernel.Main(m) }

const (
	mebibyte = 1 << 20
	project  = 4711
)

func open(t *testing.T, name string) *node.Dir {
	t.Helper()
	d, err := node.OpenDir(name)
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// write appends blocks of 64 KiB until a write fails or the file has max bytes, and returns its size.
func write(t *testing.T, name string, max int) (int, error) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	written, block := 0, make([]byte, 64<<10)
	for written < max {
		n, err := file.Write(block)
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, file.Sync()
}

// limited returns a directory of a new file system that is limited to 8 MiB.
func limited(t *testing.T) (*xfsquota.Quota, string) {
	t.Helper()
	_, point := quotakernel.New(t)
	directory := filepath.Join(point, "volume")
	require.NoError(t, os.Mkdir(directory, 0o700))
	quota := xfsquota.New(open(t, point))
	require.NoError(t, quota.SetLimit(project, 8*mebibyte))
	require.NoError(t, xfsquota.Assign(t.Context(), open(t, directory), project))
	return quota, directory
}

func TestFileSystemAccountsAndEnforcesProjectQuota(t *testing.T) {
	t.Parallel()
	_, point := quotakernel.New(t)
	accounted, enforced, err := xfsquota.New(open(t, point)).State()
	require.NoError(t, err)
	require.True(t, accounted)
	require.True(t, enforced)
}

func TestWriterStopsAtTheLimitAndContinuesAfterGrowth(t *testing.T) {
	t.Parallel()
	quota, directory := limited(t)
	name := filepath.Join(directory, "file")
	first, err := write(t, name, 32*mebibyte)
	require.Truef(t, err != nil, "%d bytes were written to a directory of 8 MiB", first)
	require.ErrorIs(t, err, unix.ENOSPC)
	require.InDelta(t, 8*mebibyte, first, mebibyte)
	require.LessOrEqual(t, first, 8*mebibyte)

	var fs unix.Statfs_t
	require.NoError(t, unix.Statfs(directory, &fs))
	require.EqualValues(t, 8*mebibyte, fs.Blocks*uint64(fs.Bsize))

	require.NoError(t, quota.SetLimit(project, 12*mebibyte))
	second, err := write(t, name, 32*mebibyte)
	require.ErrorIs(t, err, unix.ENOSPC)
	require.InDelta(t, 12*mebibyte, first+second, mebibyte)
	require.LessOrEqual(t, first+second, 12*mebibyte)
}

func TestLimitAndUseAreReadBackAndCleared(t *testing.T) {
	t.Parallel()
	quota, directory := limited(t)
	_, err := write(t, filepath.Join(directory, "file"), 2*mebibyte)
	require.NoError(t, err)
	usage, err := quota.Get(project)
	require.NoError(t, err)
	require.EqualValues(t, 8*mebibyte, usage.LimitBytes)
	require.InDelta(t, 2*mebibyte, usage.UsedBytes, 64<<10)

	next, err := quota.Next(1)
	require.NoError(t, err)
	require.EqualValues(t, project, next.Project)
	require.Equal(t, usage.LimitBytes, next.LimitBytes)
	_, err = quota.Next(project + 1)
	require.ErrorIs(t, err, xfsquota.ErrNoMoreProjects)

	require.NoError(t, quota.SetLimit(project, 0))
	usage, err = quota.Get(project)
	require.NoError(t, err)
	require.Zero(t, usage.LimitBytes)
	size, err := write(t, filepath.Join(directory, "file"), 16*mebibyte)
	require.NoError(t, err)
	require.Equal(t, 16*mebibyte, size)
}

func TestExistingDataCountsAfterTheDirectoryIsAssigned(t *testing.T) {
	t.Parallel()
	_, point := quotakernel.New(t)
	directory := filepath.Join(point, "volume")
	require.NoError(t, os.MkdirAll(filepath.Join(directory, "a/b"), 0o700))
	_, err := write(t, filepath.Join(directory, "a/b/file"), 4*mebibyte)
	require.NoError(t, err)
	quota := xfsquota.New(open(t, point))
	require.NoError(t, quota.SetLimit(project, 8*mebibyte))
	require.NoError(t, xfsquota.Assign(t.Context(), open(t, directory), project))
	size, err := write(t, filepath.Join(directory, "a/more"), 32*mebibyte)
	require.ErrorIs(t, err, unix.ENOSPC)
	require.InDelta(t, 4*mebibyte, size, mebibyte)
	require.LessOrEqual(t, size, 4*mebibyte)
}
