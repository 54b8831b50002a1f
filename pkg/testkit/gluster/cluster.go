//go:build linux

// Package gluster runs a GlusterFS cluster for tests: three servers on 127.1.1.1, 127.1.1.2 and 127.1.1.3 with bricks
// on XFS. It needs root and the Debian packages glusterfs-server, glusterfs-client and xfsprogs.
//
// A test package that uses it has a TestMain:
//
//	func TestMain(m *testing.M) { gluster.Main(m) }
//
// With MainWithQuota and NewWithQuota the same cluster runs under user-mode Linux, see [quotakernel], and its bricks
// have XFS project quota.
package gluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/disk"
	"github.com/weir-dev/weir/pkg/testkit/process"
	"github.com/weir-dev/weir/pkg/testkit/quotakernel"
)

// Servers is the number of servers.
const Servers = 3

// Cluster is a cluster of three servers.
type Cluster struct {
	t            testing.TB
	dir          string
	mountOptions []string
}

// deadline limits each wait.
const deadline = time.Minute

// New starts a cluster that ends with the test process. A process can have one cluster.
func New(t testing.TB) *Cluster {
	t.Helper()
	return NewAt(t, 0)
}

// Version6 is the operating version of GlusterFS 6.
const Version6 = 60000

// NewAt is New with a cluster that behaves like an older version of GlusterFS: it does not offer later features, as a
// cluster of which not all servers are upgraded. 0 stands for the version of this machine.
func NewAt(t testing.TB, operatingVersion int) *Cluster {
	t.Helper()
	Need(t)
	return start(t, operatingVersion)
}

// NewWithQuota is New with bricks on XFS with project quota. The TestMain of the package calls MainWithQuota.
func NewWithQuota(t testing.TB) *Cluster {
	t.Helper()
	quotakernel.Need(t)
	Need(t)
	return start(t, 0, "prjquota")
}

func start(t testing.TB, operatingVersion int, mountOptions ...string) *Cluster {
	t.Helper()
	c := &Cluster{t: t, dir: t.TempDir(), mountOptions: mountOptions}
	for i := 1; i <= Servers; i++ {
		for _, dir := range []string{"work", "run"} {
			if err := os.MkdirAll(c.path(i, dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if operatingVersion > 0 {
			info := fmt.Sprintf("UUID=%s\noperating-version=%d\n", uuid.NewUUID(), operatingVersion)
			if err := os.WriteFile(filepath.Join(c.WorkingDirectory(i), "glusterd.info"), []byte(info), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c.AddDisk(t, i, "disk")
		c.start(i)
	}
	for i := 1; i <= Servers; i++ {
		// A probe of a server that is still starting may hang.
		c.eventually(i, "pool", "list")
	}
	for i := 2; i <= Servers; i++ {
		c.eventually(1, "peer", "probe", Host(i))
	}
	testkit.Eventually(t, deadline, func(context.Context) error {
		output, err := c.run(1, "pool", "list")
		if n := strings.Count(output, "Connected"); err == nil && n != Servers {
			err = fmt.Errorf("%d of %d servers are connected", n, Servers)
		}
		return err
	})
	return c
}

// Host is the address of a server, from 1 to Servers.
func Host(i int) string { return fmt.Sprintf("127.1.1.%d", i) }

// Hosts are the addresses of all servers.
func Hosts() []string { return []string{Host(1), Host(2), Host(3)} }

// AddDisk gives a server one more file system for bricks until the end of a test, mounted at Disk.
func (c *Cluster) AddDisk(t testing.TB, server int, name string) *disk.Disk {
	t.Helper()
	d := disk.NewIn(t, "xfs")
	if err := os.MkdirAll(c.Disk(server, name), 0o755); err != nil {
		t.Fatal(err)
	}
	d.Mount(c.Disk(server, name), c.mountOptions...)
	return d
}

// Disk is the mount point of a file system of a server. Each server has one with the name disk.
func (c *Cluster) Disk(server int, name string) string { return c.path(server, name) }

// WorkingDirectory is the directory with the files of a server's glusterd, usually /var/lib/glusterd.
func (c *Cluster) WorkingDirectory(server int) string { return c.path(server, "work") }

// Brick is the directory of a volume's brick on a server.
func (c *Cluster) Brick(server int, volume string) string {
	return filepath.Join(c.Disk(server, "disk"), volume)
}

func (c *Cluster) path(server int, name string) string {
	return filepath.Join(c.dir, fmt.Sprint(server), name)
}

func (c *Cluster) start(i int) {
	c.t.Helper()
	options := map[string]string{
		"working-directory": c.path(i, "work"), "run-directory": c.path(i, "run"),
		"transport.socket.bind-address": Host(i), "glusterd-sockfile": c.path(i, "socket"),
		"cluster-test-mode": c.path(i, ""),
	}
	args := []string{"-N", "-p", c.path(i, "pid"), "-l", c.path(i, "log")}
	for name, value := range options {
		args = append(args, "--xlator-option", "management."+name+"="+value)
	}
	command := exec.Command("glusterd", args...)
	if err := process.Start(command); err != nil {
		c.t.Fatalf("start glusterd %d: %v", i, err)
	}
	c.t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		c.logIfFailed(c.path(i, "log"))
	})
}

// logIfFailed prints the end of a log file if the test failed.
func (c *Cluster) logIfFailed(name string) {
	content, err := os.ReadFile(name)
	if err != nil || !c.t.Failed() {
		return
	}
	const limit = 2 << 10
	c.t.Logf("%s:\n%s", name, content[max(0, len(content)-limit):])
}

// Gluster runs a command of the administrator's tool on the first server.
func (c *Cluster) Gluster(args ...string) string {
	c.t.Helper()
	output, err := c.run(1, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return output
}

func (c *Cluster) eventually(server int, args ...string) {
	c.t.Helper()
	testkit.Eventually(c.t, deadline, func(context.Context) error {
		_, err := c.run(server, args...)
		return err
	})
}

func (c *Cluster) run(server int, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	output, err := exec.CommandContext(ctx, "gluster",
		append([]string{"--mode=script", "--glusterd-sock=" + c.path(server, "socket")}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("gluster %s: %w: %s", strings.Join(args, " "), err, output)
	}
	return string(output), nil
}

// Volume creates and starts a volume with one brick on each server. kind is its type, for example replica 3; it may be
// empty for a distributed volume.
func (c *Cluster) Volume(name string, kind ...string) {
	c.t.Helper()
	var bricks []string
	for i := 1; i <= Servers; i++ {
		bricks = append(bricks, c.BrickName(i, name))
	}
	c.VolumeOn(name, bricks, kind...)
}

// VolumeOn is Volume with other bricks, as <host>:<path>.
func (c *Cluster) VolumeOn(name string, bricks []string, kind ...string) {
	c.t.Helper()
	args := append([]string{"volume", "create", name}, kind...)
	// force allows two bricks of a subvolume on one server.
	c.Gluster(append(append(args, bricks...), "force")...)
	c.Gluster("volume", "start", name)
	c.t.Cleanup(func() {
		if _, err := c.run(1, "volume", "stop", name, "force"); err != nil {
			c.t.Log(err)
		}
	})
}

// StopBrick ends the process of the brick of a volume on a server.
func (c *Cluster) StopBrick(server int, volume string) {
	c.t.Helper()
	c.StopBrickNamed(volume, c.BrickName(server, volume))
}

// StopBrickNamed is StopBrick with the name of the brick, as host:path.
func (c *Cluster) StopBrickNamed(volume, brick string) {
	c.t.Helper()
	output := c.Gluster("volume", "status", volume, brick)
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		// Long names of bricks are wrapped; the process id is the last column of the line with the ports.
		if len(fields) < 4 || fields[len(fields)-2] != "Y" {
			continue
		}
		pid, err := strconv.Atoi(fields[len(fields)-1])
		if err != nil {
			c.t.Fatalf("parse the status of volume %s: %q", volume, line)
		}
		process, err := os.FindProcess(pid)
		if err == nil {
			err = process.Kill()
		}
		if err == nil {
			// The test process is the init process of its namespace: glusterd takes a zombie for a running brick.
			_, err = process.Wait()
		}
		if err != nil {
			c.t.Fatalf("stop brick %s of volume %s: %v", brick, volume, err)
		}
		return
	}
	c.t.Fatalf("brick %s of volume %s is not online: %s", brick, volume, output)
}

// StartBricks starts the bricks of a volume that were stopped.
func (c *Cluster) StartBricks(volume string) {
	c.t.Helper()
	c.Gluster("volume", "start", volume, "force")
}

// BrickName is the name of a volume's brick on a server, as host:path.
func (c *Cluster) BrickName(server int, volume string) string {
	return Host(server) + ":" + c.Brick(server, volume)
}
