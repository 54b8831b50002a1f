//go:build linux

package bricks

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/disk"
	"github.com/weir-dev/weir/pkg/testkit/quotakernel"
)

func TestDescriptionsThatAreNotValidKeepTheLimit(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	v := e.volume("data", replica3, e.disk()+"/brick")
	contents := []string{
		``, `{`, `{"size": -1}`, `{"size": 1e99}`, `{"size": 9223372036854775807}`, `{"size": "many"}`,
		`{"size": 1048576, "path_prefix": "subvol/../../etc"}`, strings.Repeat(" ", 1<<20),
	}
	for i := range contents {
		v.create(fmt.Sprintf("pvc-%d", i), 8*mebibyte, uint32(1<<30+i))
	}
	e.run()
	for i, content := range contents {
		pv := fmt.Sprintf("pvc-%d", i)
		v.limited(pv, uint32(1<<30+i), 8*mebibyte)
		v.replace(v.info(0, pv), content)
		v.replace(filepath.Join(v.bricks[0], ".weir/spool", pv), "{}")
	}
	// Requests are handled in order: this one is handled after those above.
	v.create("last", 8*mebibyte, 1<<30-1)
	v.limited("last", 1<<30-1, 8*mebibyte)
	for i := range contents {
		require.NoError(t, v.isLimited(0, fmt.Sprintf("pvc-%d", i), uint32(1<<30+i), 8*mebibyte))
	}
	output, code := e.check()
	require.Equal(t, 1, code)
	require.Equal(t, len(contents), strings.Count(output, "the size is not known, and a present limit is not changed"),
		output)
}

func TestDirectoriesThatAreSymbolicLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	v := e.volume("data", replica3, e.disk()+"/brick")
	outside := filepath.Join(v.bricks[0], "outside")
	require.NoError(t, os.MkdirAll(outside, 0o755))
	v.create("pvc-1", 8*mebibyte, 1<<30)
	require.NoError(t, os.Remove(v.data(0, "pvc-1")))
	require.NoError(t, os.Symlink(outside, v.data(0, "pvc-1")))
	v.create("pvc-2", 8*mebibyte, 1<<30+1)
	e.run()
	v.limited("pvc-2", 1<<30+1, 8*mebibyte)
	output, code := e.check()
	require.Equal(t, 1, code)
	require.Contains(t, output, "is a symbolic link or a file; it is not followed")
	_, usage := v.quota(0, "pvc-1", 1<<30)
	require.Zero(t, usage.LimitBytes)
}

func TestBricksThatCannotBeUsedSayWhy(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	plain := t.TempDir()
	disk.New(t, "xfs").Mount(plain)
	e.volume("no-quota", replica3, plain+"/brick")
	e.volume("not-xfs", replica3, t.TempDir()+"/brick")
	unmounted := e.volume("unmounted", replica3, e.disk()+"/brick")
	require.NoError(t, os.RemoveAll(unmounted.bricks[0]))
	require.NoError(t, os.Mkdir(unmounted.bricks[0], 0o755))
	another := e.volume("another", replica3, e.disk()+"/brick")
	e.brick(unmounted, another.bricks[0])
	e.volume("sharded", replica3+"features.shard=on\n", e.disk()+"/brick")
	shared := e.disk()
	e.volume("shared", replica3, shared+"/1", shared+"/2")
	e.write(filepath.Join(e.glusterd, "vols", "partial", "info"), "type=2\ncount=3\n")
	e.write(filepath.Join(e.glusterd, "kadalustorage.info"), "shared\nmissing\n")
	_, readOnly := quotakernel.New(t)
	e.volume("read-only", replica3, readOnly+"/brick")
	require.NoError(t, unix.Mount("", readOnly, "", unix.MS_REMOUNT|unix.MS_RDONLY, "prjquota"))
	output, code := e.check()
	require.Equal(t, 2, code)
	for _, want := range []string{
		"is mounted without prjquota, or the kernel has no XFS quota",
		"; only XFS can limit directories without a crawl",
		"is not a brick: it has no attribute trusted.glusterfs.volume-id",
		"is a brick of the volume with the id " + unmounted.id + ", and not of another",
		"volume sharded has features.shard",
		"are on the same file system, where a directory of both would have one limit; move one of them",
		"volume partial: its info file has the id \"\" and 0 of 3 bricks",
		"kadalustorage.info lists volume missing, which does not exist on this node",
		"is read-only; repair it, or mount it for writing",
	} {
		require.Contains(t, output, want)
	}
	require.NotContains(t, output, "secret")
}

func TestOnlyOneQuotadRunsOnANode(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	v := e.volume("data", replica3, e.disk()+"/brick")
	v.create("pvc-1", 8*mebibyte, 1<<30)
	e.run()
	v.limited("pvc-1", 1<<30, 8*mebibyte)
	second := e.start()
	require.Error(t, second.Wait(), "the second one ends")
	require.Equal(t, 1, second.ProcessState.ExitCode())
	require.Contains(t, second.log.String(), "--state-dir="+e.state+": "+e.state+
		": another quotad uses the state directory; only one can run on a node")
	v.create("pvc-2", 8*mebibyte, 1<<30+1)
	v.limited("pvc-2", 1<<30+1, 8*mebibyte)
}

func TestHealedDirectoriesAndRemountedBricksAreLimitedAgain(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.interval = "1s"
	disk, point := quotakernel.New(t)
	v := e.volume("data", replica3, point+"/brick")
	v.create("pvc-1", 8*mebibyte, 1<<30)
	e.run()
	v.limited("pvc-1", 1<<30, 8*mebibyte)
	// Self-heal creates the directory again, without its project.
	require.NoError(t, os.Rename(v.data(0, "pvc-1"), filepath.Join(v.bricks[0], "aside")))
	require.NoError(t, os.MkdirAll(v.data(0, "pvc-1"), 0o777))
	v.limited("pvc-1", 1<<30, 8*mebibyte)

	e.eventually(func() error { return unix.Unmount(point, 0) })
	disk.Mount(point, "prjquota")
	v.create("pvc-2", 4*mebibyte, 1<<30+1)
	v.limited("pvc-2", 1<<30+1, 4*mebibyte)
	v.limited("pvc-1", 1<<30, 8*mebibyte)
}

func TestBrickThatFailsWhileQuotadRunsIsReportedAndLimitedAgainAfterItsRepair(t *testing.T) {
	t.Parallel()
	for _, fault := range []struct {
		// A remount is an event. A shutdown is found by the next check.
		name, interval, message string
		begin, repair           func(d *disk.Disk, point string)
	}{
		{
			name: "read-only", interval: "10m", message: "is read-only; repair it, or mount it for writing",
			begin:  func(d *disk.Disk, point string) { d.ReadOnly(point, true) },
			repair: func(d *disk.Disk, point string) { d.ReadOnly(point, false) },
		},
		{
			name: "shut down", interval: "1s", message: "input/output error; repair its file system and mount it",
			begin: func(d *disk.Disk, point string) {
				// What is not on disk is lost.
				unix.Sync()
				d.Shutdown(point)
			},
			repair: func(d *disk.Disk, point string) {
				d.Unmount(point)
				d.Mount(point, "prjquota")
			},
		},
	} {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			e.interval = fault.interval
			e.serveMetrics()
			disk, point := quotakernel.New(t)
			v := e.volume("data", replica3, point+"/brick")
			v.create("pvc-1", 8*mebibyte, 1<<30)
			c := e.start()
			v.limited("pvc-1", 1<<30, 8*mebibyte)
			isReady := func(want float64) {
				t.Helper()
				e.eventually(func() error {
					ready, err := e.metric("weir_quota_brick_ready")
					if err == nil && ready != want {
						err = fmt.Errorf("weir_quota_brick_ready is %v, want %v", ready, want)
					}
					return err
				})
			}
			isReady(1)
			fault.begin(disk, point)
			e.logs(c, fault.message)
			isReady(0)
			output, code := e.check()
			require.Equal(t, 2, code)
			require.Contains(t, output, fault.message)
			fault.repair(disk, point)
			isReady(1)
			e.logs(c, "a brick can limit directories again")
			v.describe("pvc-1", 12*mebibyte, 1<<30)
			v.limited("pvc-1", 1<<30, 12*mebibyte)
			output, code = e.check()
			require.Zero(t, code, output)
		})
	}
}

func TestJumpsOfTheClockDelayNoLimitAndNoCheck(t *testing.T) {
	if !quotakernel.Inside() {
		testkit.Skip(t, "it sets the clock: run it under user-mode Linux")
	}
	e := newEnv(t)
	e.interval = "1s"
	v := e.volume("data", replica3, e.disk()+"/brick")
	v.create("pvc-1", 8*mebibyte, 1<<30)
	e.run()
	v.limited("pvc-1", 1<<30, 8*mebibyte)
	const year = 365 * 24 * time.Hour
	jump := func(d time.Duration) {
		now := unix.NsecToTimespec(time.Now().Add(d).UnixNano())
		require.NoError(t, unix.ClockSettime(unix.CLOCK_REALTIME, &now))
	}
	begun := time.Now()
	defer func() { jump(time.Since(begun) - time.Now().Round(0).Sub(begun.Round(0))) }()
	for i, d := range []time.Duration{10 * year, -11 * year, time.Hour, -2 * time.Hour} {
		jump(d)
		project, size := uint32(1<<30+10+i), uint64(9+i)*mebibyte
		v.create(fmt.Sprint("pvc-after-", i), int64(size), project)
		v.limited(fmt.Sprint("pvc-after-", i), project, size)
		v.describe("pvc-1", int64(size), 1<<30)
		v.limited("pvc-1", 1<<30, size)
		// Another limit is found by the next check.
		v.limit("pvc-1", 1<<30, mebibyte)
		v.limited("pvc-1", 1<<30, size)
	}
	output, code := e.check()
	require.Zero(t, code, output)
}
