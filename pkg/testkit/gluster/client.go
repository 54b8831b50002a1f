//go:build linux

package gluster

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/process"
)

// Mount mounts a volume with the FUSE client until the end of the test, and returns the mount point.
func (c *Cluster) Mount(volume string) (point string) { return c.MountFor(c.t, volume) }

// MountFor is Mount for one of several tests that share the cluster.
func (c *Cluster) MountFor(t testing.TB, volume string) (point string) {
	t.Helper()
	point = t.TempDir()
	logFile := filepath.Join(c.dir, "client-"+volume+".log")
	args := []string{"-N", "--volfile-id=" + volume, "-l", logFile}
	for _, host := range Hosts() {
		args = append(args, "--volfile-server="+host)
	}
	command := exec.Command("glusterfs", append(args, point)...)
	if err := process.Start(command); err != nil {
		t.Fatalf("mount the volume %s: %v", volume, err)
	}
	t.Cleanup(func() {
		_ = unix.Unmount(point, unix.MNT_DETACH)
		_ = command.Process.Kill()
		_ = command.Wait()
		c.logIfFailed(logFile)
	})
	testkit.Eventually(t, deadline, func(context.Context) error {
		var fs unix.Statfs_t
		if err := unix.Statfs(point, &fs); err != nil {
			return err
		}
		if fs.Type != unix.FUSE_SUPER_MAGIC {
			return fmt.Errorf("volume %s is not mounted", volume)
		}
		return nil
	})
	return point
}
