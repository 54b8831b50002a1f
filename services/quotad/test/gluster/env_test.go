//go:build linux

package gluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/disk"
	"github.com/weir-dev/weir/pkg/testkit/gluster"
	"github.com/weir-dev/weir/pkg/testkit/process"
	"github.com/weir-dev/weir/pkg/testkit/quotakernel"
)

const (
	mebibyte = 1 << 20
	deadline = time.Minute
)

func quotadCommand(cluster *gluster.Cluster, server int, state string, args ...string) *exec.Cmd {
	command := exec.Command("/proc/self/exe", append(args, "--glusterd-dir="+cluster.WorkingDirectory(server),
		"--state-dir="+state)...)
	command.Env = append(os.Environ(), asQuotad+"=1")
	return command
}

// startQuotads starts a standalone quotad on each server until the end of the test.
func startQuotads(t *testing.T, cluster *gluster.Cluster, checkInterval time.Duration) {
	t.Helper()
	for server := 1; server <= gluster.Servers; server++ {
		startQuotad(t, cluster, server, filepath.Join(t.TempDir(), "state"), checkInterval)
	}
}

func startQuotad(t *testing.T, cluster *gluster.Cluster, server int, state string, checkInterval time.Duration) {
	t.Helper()
	command := quotadCommand(cluster, server, state, "standalone",
		"--metrics-address="+gluster.Host(server)+":8080", "--check-interval="+checkInterval.String())
	output := &process.Output{}
	command.Stdout, command.Stderr = output, output
	require.NoError(t, process.Start(command))
	t.Cleanup(func() {
		_ = command.Process.Signal(unix.SIGTERM)
		if err := command.Wait(); err != nil {
			t.Errorf("quotad of server %d: %v", server, err)
		}
		if t.Failed() {
			t.Logf("quotad of server %d:\n%s", server, output.String())
		}
	})
}

// volume is a mounted volume whose directories quotad limits.
type volume struct {
	*testing.T
	cluster     *gluster.Cluster
	name, mount string
	// servers, disks and mounts are those of its bricks, in order.
	servers []int
	disks   []string
	mounts  []*disk.Disk
}

// newVolume creates a volume with a brick on a new file system of each of the servers, which may repeat.
func newVolume(t *testing.T, cluster *gluster.Cluster, name string, servers []int, kind ...string) volume {
	t.Helper()
	v := volume{T: t, cluster: cluster, name: name, servers: servers}
	var bricks []string
	for i, server := range servers {
		name := fmt.Sprint(name, i)
		v.mounts = append(v.mounts, cluster.AddDisk(t, server, name))
		v.disks = append(v.disks, cluster.Disk(server, name))
		bricks = append(bricks, gluster.Host(server)+":"+filepath.Join(v.disks[i], "brick"))
	}
	return v.start(bricks, kind...)
}

// beside creates a volume on the file systems of another one.
func (v volume) beside(name string, kind ...string) volume {
	v.Helper()
	other := v
	other.name = name
	var bricks []string
	for i, disk := range v.disks {
		bricks = append(bricks, gluster.Host(v.servers[i])+":"+filepath.Join(disk, name))
	}
	return other.start(bricks, kind...)
}

func (v volume) start(bricks []string, kind ...string) volume {
	v.Helper()
	v.cluster.VolumeOn(v.name, bricks, kind...)
	v.cluster.Gluster("volume", "set", v.name, "user.weir.dev/managed", "on")
	// The volume does not run beside those of later tests.
	v.Cleanup(func() { v.cluster.Gluster("volume", "stop", v.name, "force") })
	v.mount = v.cluster.MountFor(v.T, v.name)
	return v
}

// directory is the directory of a persistent volume.
func (v volume) directory(pv string) string { return filepath.Join(v.mount, "subvol", parent(pv), pv) }

// parent returns the directories above that of a persistent volume.
func parent(pv string) string {
	h := fmt.Sprintf("%016x", xxhash.Sum64String(pv))
	return path.Join(h[:2], h[2:4])
}

// describe writes the description of a persistent volume as gluster-bridge does, and announces it.
func (v volume) describe(pv string, size int) {
	v.Helper()
	info := filepath.Join(v.mount, "info", parent(pv))
	require.NoError(v, os.MkdirAll(info, 0o755))
	content := fmt.Appendf(nil, `{"size": %d, "path_prefix": "subvol/%s"}`, size, parent(pv))
	temporary := filepath.Join(info, "."+pv)
	require.NoError(v, os.WriteFile(temporary, content, 0o600))
	require.NoError(v, unix.Setxattr(temporary, "user.weir.quota", content, 0))
	require.NoError(v, os.Rename(temporary, filepath.Join(info, pv+".json")))
	v.announce(pv)
}

func (v volume) announce(pv string) {
	v.Helper()
	spool := filepath.Join(v.mount, ".weir/spool")
	require.NoError(v, os.MkdirAll(spool, 0o755))
	temporary := filepath.Join(spool, "."+pv)
	require.NoError(v, os.WriteFile(temporary, nil, 0o600))
	require.NoError(v, os.Rename(temporary, filepath.Join(spool, pv)))
}

// create creates the directory of a persistent volume and waits for its limit.
func (v volume) create(pv string, size int) {
	v.Helper()
	require.NoError(v, os.MkdirAll(v.directory(pv), 0o755))
	v.describe(pv, size)
	v.waitForSize(pv, size)
}

// remove deletes a persistent volume with its description.
func (v volume) remove(pv string) {
	v.Helper()
	require.NoError(v, os.RemoveAll(v.directory(pv)))
	require.NoError(v, os.Remove(filepath.Join(v.mount, "info", parent(pv), pv+".json")))
	v.announce(pv)
}

// waitForSize waits until clients see the size of a persistent volume.
func (v volume) waitForSize(pv string, size int) {
	v.Helper()
	begun := time.Now()
	testkit.Eventually(v, deadline, func(context.Context) error {
		got, err := gluster.Size(v.directory(pv))
		if err == nil && got != int64(size) {
			err = fmt.Errorf("the size of %s is %d, want %d", pv, got, size)
		}
		return err
	})
	v.Logf("size %d of %s after %s", size, pv, time.Since(begun).Round(time.Millisecond))
}

// fill writes to a new file until an error, and returns the number of bytes that are on the bricks.
func (v volume) fill(pv, file string) (total int) {
	v.Helper()
	return gluster.Fill(v, filepath.Join(v.directory(pv), file))
}

// waitForLimits waits until each brick's file system has exactly these limits, in any order.
func (v volume) waitForLimits(want ...uint64) {
	v.Helper()
	testkit.Eventually(v, deadline, func(context.Context) error {
		for _, disk := range v.disks {
			var got []uint64
			for _, limit := range quotakernel.Limits(v.T, disk) {
				got = append(got, limit)
			}
			if !sameElements(got, want) {
				return fmt.Errorf("%s has the limits %v, want %v", disk, got, want)
			}
		}
		return nil
	})
}

func sameElements(a, b []uint64) bool {
	count := map[uint64]int{}
	for _, x := range a {
		count[x]++
	}
	for _, x := range b {
		count[x]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

// check runs quotad check on a server and returns its output.
func check(cluster *gluster.Cluster, server int, state string) (string, error) {
	output, err := quotadCommand(cluster, server, state, "check").CombinedOutput()
	return strings.TrimSpace(string(output)), err
}
