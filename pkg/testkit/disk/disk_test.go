//go:build linux

package disk_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit/disk"
)

func TestMain(m *testing.M) { disk.Main(m) }

// The log of a busy machine may be written between the two, or after several seconds.
func TestReleasedSpaceStaysFreeAfterAShutdown(t *testing.T) {
	t.Parallel()
	for _, fileSystem := range []string{"xfs", "ext4"} {
		t.Run(fileSystem, func(t *testing.T) {
			t.Parallel()
			point := t.TempDir()
			d := disk.New(t, fileSystem)
			d.Mount(point)
			release := d.Fill(point)
			require.FileExists(t, filepath.Join(point, "filler"))
			d.Sync(point)
			release()
			d.Shutdown(point)
			d.Unmount(point)
			d.Mount(point)
			require.NoFileExists(t, filepath.Join(point, "filler"))
		})
	}
}
