//go:build linux

package csi

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/disk"
	testgluster "github.com/weir-dev/weir/pkg/testkit/gluster"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/gluster"
)

// eachBrick has a brick that is larger than the others, as if it were the only one without a limit of the size of the
// others. The client of the volume does not show that.
func eachBrick(t *testing.T, cluster *testgluster.Cluster) {
	const volume, directory, larger = "uneven", "pvc-1", 400
	point := t.TempDir()
	disk.NewSized(t, "xfs", larger).Mount(point)
	third := testgluster.Host(3) + ":" + filepath.Join(point, "brick")
	cluster.VolumeOn(volume, []string{cluster.BrickName(1, volume), cluster.BrickName(2, volume), third}, "replica", "3")
	dir := t.TempDir()
	pool := &gluster.Pool{Root: filepath.Join(dir, "mounts"), Logs: dir}
	t.Cleanup(pool.UnmountAll)
	var size int64
	do := func(f func(context.Context, *gluster.Tree) error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, pool.Of(storage("s", volume, true).Volume).Do(ctx, f, func() {}))
	}
	shown := func(of int64) (shown decide.Shown) {
		t.Helper()
		do(func(ctx context.Context, tree *gluster.Tree) (err error) {
			shown, err = tree.Shows(ctx, directory, of)
			return err
		})
		return shown
	}
	do(func(_ context.Context, tree *gluster.Tree) (err error) {
		if size, _, err = tree.Size(); err != nil {
			return err
		}
		return tree.Create(directory, decide.NewInfo(directory, size))
	})
	require.Equal(t, decide.Shown{}, shown(size/2))
	begun := time.Now()
	require.Equal(t, decide.Shown{Volume: true, Missing: []string{third}}, shown(size))
	started := time.Since(begun)
	begun = time.Now()
	require.False(t, shown(size).Done())
	t.Logf("started the clients of 3 bricks in %s, called statfs of each in %s", started.Round(time.Millisecond),
		time.Since(begun).Round(time.Millisecond))
	require.True(t, shown(larger<<20).Done(), "no brick has more space than itself")

	cluster.StopBrickNamed(volume, third)
	testkit.Eventually(t, time.Minute, func(context.Context) error {
		if s := shown(size); !s.Done() {
			return fmt.Errorf("an offline brick is waited for: %+v", s)
		}
		return nil
	})
	cluster.StartBricks(volume)
	testkit.Eventually(t, time.Minute, func(context.Context) error {
		if s := shown(size); len(s.Missing) != 1 || s.Missing[0] != third {
			return fmt.Errorf("the brick is online again: %+v", s)
		}
		return nil
	})
	pool.UnmountAll()
	testkit.Eventually(t, time.Minute, func(context.Context) error {
		mounts, err := node.Mounts()
		for _, m := range mounts {
			if strings.HasPrefix(m.Point, dir) {
				err = errors.Join(err, fmt.Errorf("%s is mounted", m.Point))
			}
		}
		return err
	})
}
