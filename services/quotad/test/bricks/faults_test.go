//go:build linux

package bricks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/pkg/node/xfsquota"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/disk"
	"github.com/weir-dev/weir/pkg/testkit/quotakernel"
)

func TestDescriptionsThatAreNotValidKeepTheLimit(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	v := e.volume("data", replica3, e.disk()+"/brick")
	contents := []string{
		``, `{`, `[]`, `{"size": -1}`, `{"size": 1e99}`, `{"size": 9223372036854775807}`, `{"size": "many"}`,
		`{"size": 1048576, "path_prefix": "subvol/../../etc"}`, `{"size": 1048576, "path_prefix": "/"}`,
		strings.Repeat(" ", 1<<20),
	}
	for _, project := range []string{"-1", "4294967295", "1e99", `"root"`} {
		pv := fmt.Sprintf("pvc-%d", len(contents))
		contents = append(contents, fmt.Sprintf(`{"size": 1048576, "path_prefix": %q, "project_id": %s}`,
			filepath.Dir(pathOf(pv)), project))
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

func TestSymbolicLinksOnABrickAreNotFollowed(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	v := e.volume("data", replica3, e.disk()+"/brick")
	outside := filepath.Join(v.bricks[0], "outside")
	require.NoError(t, os.MkdirAll(outside, 0o755))
	for i := range 4 {
		v.create(fmt.Sprintf("pvc-%d", i), 8*mebibyte, uint32(1<<30+i)) //nolint:gosec // small
	}
	replace := func(name, target string) {
		require.NoError(t, os.RemoveAll(name))
		require.NoError(t, os.Symlink(target, name))
	}
	replace(v.data(0, "pvc-1"), outside)
	require.NoError(t, os.Mkdir(filepath.Join(outside, "pvc-2"), 0o755))
	replace(filepath.Dir(v.data(0, "pvc-2")), outside)
	e.write(filepath.Join(outside, "info"), description("pvc-3", 8*mebibyte, 1<<30+3))
	replace(v.info(0, "pvc-3"), filepath.Join(outside, "info"))
	replace(filepath.Join(v.bricks[0], ".weir/spool"), outside)
	e.run()
	v.limited("pvc-0", 1<<30, 8*mebibyte)
	output, code := e.check()
	require.Equal(t, 1, code)
	require.Equal(t, 2, strings.Count(output, "is a symbolic link or a file; it is not followed"), output)
	require.Equal(t, 1, strings.Count(output, "is not a regular file; remove it from the brick"), output)
	require.Equal(t, map[uint32]uint64{1 << 30: 8 * mebibyte}, quotakernel.Limits(t, v.bricks[0]))
	for _, name := range []string{outside, filepath.Join(outside, "pvc-2"), v.data(0, "pvc-3")} {
		require.Zero(t, projectOf(t, name), name)
	}
}

// projectOf returns the project of a directory.
func projectOf(t *testing.T, name string) xfsquota.Project {
	t.Helper()
	dir, err := node.OpenDir(name)
	require.NoError(t, err)
	defer func() { _ = dir.Close() }()
	project, err := xfsquota.ProjectOf(dir.File())
	require.NoError(t, err)
	return project
}

func TestNothingIsWrittenIntoABrick(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	v := e.volume("data", replica3, e.disk()+"/brick")
	for i := range 20 {
		pv := fmt.Sprintf("pvc-%d", i)
		v.create(pv, 8*mebibyte, uint32(1<<30+i)) //nolint:gosec // small
		e.write(filepath.Join(v.data(0, pv), "directory/file"), pv)
	}
	// files returns what a write to the brick changes. Access times and those of inodes change with projects.
	files := func() (found []string) {
		require.NoError(t, filepath.Walk(v.bricks[0], func(name string, info os.FileInfo, err error) error {
			if err != nil {
				return err
			}
			content := []byte(nil)
			if info.Mode().IsRegular() {
				content, err = os.ReadFile(name)
			}
			attributes := make([]byte, 4096)
			n, listErr := unix.Llistxattr(name, attributes)
			found = append(found, fmt.Sprint(name, info.Mode(), info.Size(), info.ModTime(), string(content),
				string(attributes[:max(0, n)])))
			return errors.Join(err, listErr)
		}))
		return found
	}
	before := files()
	e.run()
	for i := range 20 {
		v.limited(fmt.Sprintf("pvc-%d", i), uint32(1<<30+i), 8*mebibyte) //nolint:gosec // small
	}
	output, code := e.check()
	require.Zero(t, code, output)
	require.Equal(t, before, files())
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
	none := *e
	none.glusterd += "-missing"
	_, code = none.check()
	require.Equal(t, 2, code, "there is no glusterd")
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
	another := *e
	another.state += "-of-another"
	third := another.start()
	e.logs(third, "another quotad uses the files of glusterd, with another state directory; only one can run on a node")
	v.create("pvc-2", 8*mebibyte, 1<<30+1)
	v.limited("pvc-2", 1<<30+1, 8*mebibyte)
	entries, err := os.ReadDir(another.state)
	require.NoError(t, err)
	require.Empty(t, entries, "it limits nothing")
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
				// Data that is not on disk is lost.
				unix.Sync()
				d.Shutdown(point)
			},
			repair: func(d *disk.Disk, point string) {
				d.Unmount(point)
				d.Mount(point, "prjquota")
			},
		},
		{
			name: "unmounted", interval: "10m", message: "no such file or directory; mount its file system",
			begin:  func(d *disk.Disk, point string) { d.Unmount(point) },
			repair: func(d *disk.Disk, point string) { d.Mount(point, "prjquota") },
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

// TestFileSystemInPlaceOfABrickIsNotUsedUntilItIsOne replaces a brick at the same path. glusterd makes the new
// directory a brick, and self-heal fills it.
func TestFileSystemInPlaceOfABrickIsNotUsedUntilItIsOne(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	old, point := quotakernel.New(t)
	v := e.volume("data", replica3, point+"/brick")
	v.create("pvc-1", 8*mebibyte, 1<<30)
	c := e.start()
	v.limited("pvc-1", 1<<30, 8*mebibyte)
	empty, elsewhere := quotakernel.New(t)
	require.NoError(t, os.Mkdir(filepath.Join(elsewhere, "brick"), 0o755))
	empty.Unmount(elsewhere)
	old.Unmount(point)
	empty.Mount(point, "prjquota")
	e.logs(c, "is not a brick: it has no attribute trusted.glusterfs.volume-id; mount the brick's file system, or "+
		"replace the brick")
	v.create("pvc-1", 8*mebibyte, 1<<30)
	output, code := e.check()
	require.Equal(t, 2, code, output)
	require.Empty(t, quotakernel.Limits(t, v.bricks[0]))
	e.brick(v, v.bricks[0])
	v.limited("pvc-1", 1<<30, 8*mebibyte)
	output, code = e.check()
	require.Zero(t, code, output)
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
