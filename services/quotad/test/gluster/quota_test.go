//go:build linux

package gluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/pkg/node/xfsquota"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/gluster"
)

var eachServer = []int{1, 2, 3}

// With a rare check, what happens is the result of an event.
const rarely, often = time.Hour, time.Second

// TestQuotadOnGlusterFS shares one cluster, whose start takes most of the time.
func TestQuotadOnGlusterFS(t *testing.T) {
	cluster := gluster.NewWithQuota(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *gluster.Cluster)
	}{
		{"a replicated volume is limited, grows, and leaves no limit behind", func(t *testing.T, c *gluster.Cluster) {
			testLifecycle(t, c, newVolume(t, c, "replicated", eachServer, "replica", "3"), 1)
		}},
		{"a dispersed volume is limited, grows, and leaves no limit behind", func(t *testing.T, c *gluster.Cluster) {
			testLifecycle(t, c, newVolume(t, c, "dispersed", eachServer, "disperse", "3", "redundancy", "1"), 2)
		}},
		{"an arbiter volume is limited on the bricks with data", testArbiter},
		{"two bricks of a volume on one node are limited", testTwoBricksOnANode},
		{"directories of the same name on two volumes have their own limits", testSameName},
		{"a distributed or sharded volume is refused", testRefused},
		{"a replaced brick gets the limit while it heals", testReplacedBrick},
		{"a brick that was not mounted gets the new limit when it has healed", testRemount},
		{"a brick that was offline during a growth gets the new limit when it has healed", testOffline},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, cluster) })
	}
}

func testLifecycle(t *testing.T, cluster *gluster.Cluster, v volume, dataBricks uint64) {
	startQuotads(t, cluster, rarely)
	v.create("pv", 20*mebibyte)
	v.waitForLimits(20 * mebibyte / dataBricks)
	first := v.fill("pv", "first")
	require.Equal(t, 20*mebibyte, first)

	v.describe("pv", 24*mebibyte)
	v.waitForSize("pv", 24*mebibyte)
	v.waitForLimits(24 * mebibyte / dataBricks)
	second := v.fill("pv", "second")
	require.GreaterOrEqual(t, first+second, 23*mebibyte)
	require.LessOrEqual(t, first+second, 24*mebibyte)

	v.remove("pv")
	v.waitForLimits()
}

func testArbiter(t *testing.T, cluster *gluster.Cluster) {
	startQuotads(t, cluster, rarely)
	v := newVolume(t, cluster, "arbiter", eachServer, "replica", "3", "arbiter", "1")
	v.create("pv", 8*mebibyte)
	data, arbiter := v, v
	data.disks, arbiter.disks = v.disks[:2], v.disks[2:]
	data.waitForLimits(8 * mebibyte)
	arbiter.waitForLimits()
	require.Equal(t, 8*mebibyte, v.fill("pv", "file"))
	v.remove("pv")
	v.waitForLimits()
}

func testTwoBricksOnANode(t *testing.T, cluster *gluster.Cluster) {
	startQuotads(t, cluster, rarely)
	v := newVolume(t, cluster, "twice", []int{1, 1, 2}, "replica", "3")
	v.create("pv", 8*mebibyte)
	v.waitForLimits(8 * mebibyte)
	require.Equal(t, 8*mebibyte, v.fill("pv", "file"))
}

// testSameName has both volumes on the same file systems, where a shared project id would be one limit for both.
func testSameName(t *testing.T, cluster *gluster.Cluster) {
	startQuotads(t, cluster, rarely)
	first := newVolume(t, cluster, "first", eachServer, "replica", "3")
	second := first.beside("second", "replica", "3")
	first.create("pv", 8*mebibyte)
	second.create("pv", 12*mebibyte)
	first.waitForLimits(8*mebibyte, 12*mebibyte)
	require.Equal(t, 8*mebibyte, first.fill("pv", "file"))
	require.Equal(t, 12*mebibyte, second.fill("pv", "file"))
	first.remove("pv")
	second.waitForLimits(12 * mebibyte)
}

func testRefused(t *testing.T, cluster *gluster.Cluster) {
	distributed := newVolume(t, cluster, "distributed", eachServer)
	sharded := distributed.beside("sharded", "replica", "3")
	cluster.Gluster("volume", "set", sharded.name, "features.shard", "on")
	for _, v := range []volume{distributed, sharded} {
		require.NoError(t, os.MkdirAll(v.directory("pv"), 0o755))
		v.describe("pv", 8*mebibyte)
	}
	output, err := check(cluster, 1, filepath.Join(t.TempDir(), "state"))
	require.Error(t, err)
	require.Contains(t, output, "volume distributed distributes files over 3 subvolumes")
	require.Contains(t, output, "volume sharded has features.shard")
	startQuotads(t, cluster, often)
	// A volume that is not refused shows that quotad has seen all of them.
	accepted := distributed.beside("accepted", "replica", "3")
	accepted.create("pv", 9*mebibyte)
	accepted.waitForLimits(9 * mebibyte)
}

func testReplacedBrick(t *testing.T, cluster *gluster.Cluster) {
	startQuotads(t, cluster, often)
	v := newVolume(t, cluster, "healed", eachServer, "replica", "3")
	// The self-heal daemon that finds the new brick not yet connected tries again after this time, by default 600 s.
	cluster.Gluster("volume", "set", v.name, "cluster.heal-timeout", "5")
	v.create("pv", 20*mebibyte)
	require.NoError(t, os.WriteFile(filepath.Join(v.directory("pv"), "file"), make([]byte, 6*mebibyte), 0o600))
	cluster.AddDisk(t, 3, "replacement")
	replacement := cluster.Disk(3, "replacement")
	cluster.Gluster("volume", "replace-brick", v.name, gluster.Host(3)+":"+filepath.Join(v.disks[2], "brick"),
		gluster.Host(3)+":"+filepath.Join(replacement, "brick"), "commit", "force")
	v.disks[2] = replacement
	v.waitForLimits(20 * mebibyte)
	// All healed data counts, also that which was written before the directory had the limit.
	directory := filepath.Join(replacement, "brick/subvol", parent("pv"), "pv")
	testkit.Eventually(t, deadline, func(context.Context) error {
		used, err := usedBy(replacement, directory)
		if err == nil && used < 6*mebibyte {
			err = fmt.Errorf("%d bytes of 6 MiB are accounted", used)
		}
		return err
	})
	require.Equal(t, 14*mebibyte, v.fill("pv", "more"))
}

// usedBy returns the accounted bytes of the project of a directory.
func usedBy(fileSystem, directory string) (uint64, error) {
	dir, err := node.OpenDir(directory)
	if err != nil {
		return 0, err
	}
	defer func() { _ = dir.Close() }()
	project, err := xfsquota.ProjectOf(dir.File())
	if err != nil || project.ID == 0 {
		return 0, errors.Join(err, fmt.Errorf("%s has the project %d", directory, project.ID))
	}
	root, err := node.OpenDir(fileSystem)
	if err != nil {
		return 0, err
	}
	defer func() { _ = root.Close() }()
	usage, err := xfsquota.New(root).Get(project.ID)
	return usage.UsedBytes, err
}

func testRemount(t *testing.T, cluster *gluster.Cluster) {
	// The brick has the new size only after it has healed, which causes no event.
	startQuotads(t, cluster, often)
	v := newVolume(t, cluster, "remounted", eachServer, "replica", "3")
	v.create("pv", 8*mebibyte)
	cluster.StopBrickNamed(v.name, gluster.Host(3)+":"+filepath.Join(v.disks[2], "brick"))
	v.mounts[2].Unmount(v.disks[2])
	v.describe("pv", 12*mebibyte)
	v.waitForSize("pv", 12*mebibyte)
	entries, err := os.ReadDir(v.disks[2])
	require.NoError(t, err)
	require.Empty(t, entries, "quotad writes nothing to the mount point")
	v.mounts[2].Mount(v.disks[2], "prjquota")
	cluster.StartBricks(v.name)
	v.waitForLimits(12 * mebibyte)
	require.Equal(t, 12*mebibyte, v.fill("pv", "file"))
}

// testOffline has a brick whose process does not run during a growth, while its file system stays mounted. The size
// that self-heal writes later causes no event in the spool directory.
func testOffline(t *testing.T, cluster *gluster.Cluster) {
	startQuotads(t, cluster, rarely)
	v := newVolume(t, cluster, "offline", eachServer, "replica", "3")
	v.create("pv", 8*mebibyte)
	v.waitForLimits(8 * mebibyte)
	cluster.StopBrickNamed(v.name, gluster.Host(3)+":"+filepath.Join(v.disks[2], "brick"))
	v.describe("pv", 12*mebibyte)
	v.waitForSize("pv", 12*mebibyte)
	// gluster-bridge removes the file when it sees the size.
	require.NoError(t, os.Remove(filepath.Join(v.mount, ".weir/spool/pv")))
	cluster.StartBricks(v.name)
	begun := time.Now()
	v.waitForLimits(12 * mebibyte)
	t.Logf("the brick has the new limit %s after its start", time.Since(begun).Round(time.Millisecond))
}
