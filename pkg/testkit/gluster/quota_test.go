//go:build linux

package gluster_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/pkg/node/xfsquota"
	"github.com/weir-dev/weir/pkg/testkit/gluster"
)

func TestMain(m *testing.M) { gluster.MainWithQuota(m) }

const mebibyte = 1 << 20

// TestQuotaOfBricksLimitsAVolume shows what XFS quota on the bricks means to a client: a limit of the size on each
// brick of a replicated volume, and of a part of the size on each brick of a dispersed volume.
func TestQuotaOfBricksLimitsAVolume(t *testing.T) {
	cluster := gluster.NewWithQuota(t)
	for i, test := range []struct {
		name, volume string
		kind         []string
		perBrick     uint64
	}{
		{"each brick of a replicated volume has the size", "replicated", []string{"replica", "3"}, 20 * mebibyte},
		{"each brick of a dispersed volume has a part of the size", "dispersed",
			[]string{"disperse", "3", "redundancy", "1"}, 10 * mebibyte},
	} {
		t.Run(test.name, func(t *testing.T) {
			cluster.Volume(test.volume, test.kind...)
			directory := filepath.Join(cluster.Mount(test.volume), "pv")
			require.NoError(t, os.Mkdir(directory, 0o700))
			for server := 1; server <= gluster.Servers; server++ {
				limit(t, cluster.Disk(server, "disk"), filepath.Join(cluster.Brick(server, test.volume), "pv"), uint32(1000+i),
					test.perBrick)
			}
			var fs unix.Statfs_t
			require.NoError(t, unix.Statfs(directory, &fs))
			require.EqualValues(t, 20*mebibyte, fs.Blocks*uint64(fs.Bsize))
			accepted := written(t, filepath.Join(directory, "file"), 30*mebibyte)
			require.GreaterOrEqual(t, accepted, 20*mebibyte)
			require.LessOrEqual(t, accepted, 21*mebibyte)
		})
	}
}

func limit(t *testing.T, fileSystem, directory string, project uint32, bytes uint64) {
	t.Helper()
	root, err := node.OpenDir(fileSystem)
	require.NoError(t, err)
	defer func() { _ = root.Close() }()
	dir, err := node.OpenDir(directory)
	require.NoError(t, err)
	defer func() { _ = dir.Close() }()
	require.NoError(t, xfsquota.New(root).SetLimit(project, bytes))
	require.NoError(t, xfsquota.Assign(t.Context(), dir, project))
}

// written appends blocks until an error and returns the number of accepted bytes. A client acknowledges data
// before it is on the bricks, so only data that is synchronized counts.
func written(t *testing.T, name string, max int) (total int) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	for block := make([]byte, 512<<10); err == nil && total < max; {
		if _, err = file.Write(block); err != nil {
			break
		}
		if err = file.Sync(); err == nil {
			total += len(block)
		}
	}
	require.ErrorIsf(t, err, unix.ENOSPC, "%d bytes were accepted", total)
	return total
}
