//go:build linux

package node

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/process"
)

// docker is a Docker daemon in the namespaces of the test process.
type docker struct {
	t      *testing.T
	socket string
}

// image has the directories and links that the programs of this machine need; they are mounted.
const image = "weir-test"

// startDocker starts a Docker daemon without a network. It ends with the test.
func startDocker(t *testing.T) *docker {
	t.Helper()
	for _, program := range []string{"docker", "dockerd", "containerd", "runc"} {
		if _, err := exec.LookPath(program); err != nil {
			testkit.Skip(t, program+" is missing: install Docker to run containers in the test")
		}
	}
	dir, err := os.MkdirTemp("", "weir-docker")
	require.NoError(t, err)
	d := &docker{t: t, socket: "unix://" + dir + "/socket"}
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	cgroup := fmt.Sprintf("/weir-test-%d", time.Now().UnixNano())
	command := exec.Command("dockerd", "--host="+d.socket, "--data-root="+dir+"/data", "--exec-root="+dir+"/run",
		"--pidfile="+dir+"/pid", "--bridge=none", "--iptables=false", "--ip6tables=false", "--cgroup-parent="+cgroup,
		"--exec-opt=native.cgroupdriver=cgroupfs")
	command.Stdout, command.Stderr = log, log
	require.NoError(t, process.Start(command))
	t.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt)
		_ = command.Wait()
		_ = log.Close()
		if t.Failed() {
			data, _ := os.ReadFile(log.Name())
			t.Logf("the end of the log of dockerd:\n%s", data[max(0, len(data)-4000):])
		}
		groups, _ := filepath.Glob("/sys/fs/cgroup" + cgroup)
		more, _ := filepath.Glob("/sys/fs/cgroup/*" + cgroup)
		for _, group := range append(groups, more...) {
			_ = os.Remove(group)
		}
		_ = os.RemoveAll(dir)
	})
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		_, err := d.try(ctx, nil, "version")
		return err
	})
	var root bytes.Buffer
	files := tar.NewWriter(&root)
	for _, name := range []string{"usr", "data", "sub", "readonly", "proc", "sys", "dev", "tmp"} {
		require.NoError(t, files.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755}))
	}
	for _, name := range []string{"bin", "lib", "lib64"} {
		require.NoError(t, files.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: "usr/" + name}))
	}
	require.NoError(t, files.Close())
	_, err = d.try(t.Context(), &root, "import", "-", image)
	require.NoError(t, err)
	return d
}

func (d *docker) try(ctx context.Context, input *bytes.Buffer, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, "docker", append([]string{"--host=" + d.socket}, arguments...)...)
	if input != nil {
		command.Stdin = input
	}
	output, err := command.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("docker %s: %w: %s", arguments[0], err, output)
	}
	return strings.TrimSpace(string(output)), err
}

// start starts a container with these volumes and waits for its first success.
func (d *docker) start(name string, spec containerSpec, volumes ...string) *container {
	d.t.Helper()
	text, err := json.Marshal(spec)
	require.NoError(d.t, err)
	program, err := os.Executable()
	require.NoError(d.t, err)
	arguments := []string{
		"--host=" + d.socket, "run", "--rm", "--network=none", "--name=" + name, "--env=" + asContainer + "=" + string(text),
		"--volume=/usr:/usr:ro", "--volume=" + program + ":/container:ro",
	}
	for _, volume := range volumes {
		arguments = append(arguments, "--volume="+volume)
	}
	c := &container{name: name, command: exec.Command("docker", append(arguments, image, "/container")...)}
	output, err := c.command.StdoutPipe()
	require.NoError(d.t, err)
	c.command.Stderr = c.command.Stdout
	require.NoError(d.t, process.Start(c.command))
	c.follow(d.t, output)
	d.t.Cleanup(func() {
		_, _ = d.try(context.Background(), nil, "kill", name)
		_ = c.command.Wait()
	})
	c.works(d.t, time.Time{})
	return c
}

// inDocker: containers of a container runtime have a root directory of their own and private copies of their volumes.
func inDocker(t *testing.T, e *env) {
	d := startDocker(t)
	w := e.worker(t)
	v := e.volume(t, "pvc-docker")
	w.stage(v)
	target, readonly := w.publish(v, "writer", false), w.publish(v, "reader", true)
	for _, dir := range []string{"sub", "nested"} {
		require.NoError(t, os.Mkdir(filepath.Join(target, dir), 0o700))
	}
	require.NoError(t, os.WriteFile(filepath.Join(target, "file"), []byte("data"), 0o600))
	emptyDir := t.TempDir()
	containers := []*container{
		d.start("writer", containerSpec{Write: "/data"}, target+":/data"),
		d.start("reader", containerSpec{Read: "/readonly/file"}, readonly+":/readonly:ro"),
		d.start("subpath", containerSpec{Write: "/sub"}, filepath.Join(target, "sub")+":/sub"),
		d.start("nested", containerSpec{Write: "/data/nested", Read: "/data/file"},
			target+":/data", emptyDir+":/data/nested"),
	}
	started := d.started(containers)
	w.untilRemembered()
	var times []time.Duration
	n := rounds(t)
	for range n {
		begun := time.Now()
		require.Equal(t, 1, w.killClients())
		for _, c := range containers {
			times = append(times, c.works(t, begun).Sub(begun))
		}
	}
	slices.Sort(times)
	p99 := percentile(times, 99)
	t.Logf("client killed %d times, %d Docker containers: recovery p50 %s, p99 %s", n, len(containers),
		percentile(times, 50).Round(time.Millisecond), p99.Round(time.Millisecond))
	require.Less(t, p99, 10*time.Second)
	require.Equal(t, started, d.started(containers), "no container was restarted")
	_, err := os.Stat(filepath.Join(emptyDir, "written"))
	require.NoError(t, err)
	if testkit.IsLinux(6, 5) {
		_, err = os.Stat(filepath.Join(target, "nested", "written"))
		require.ErrorIs(t, err, os.ErrNotExist, "the container wrote to the volume while its emptyDir was not mounted")
	}
}

// started returns when the containers were started.
func (d *docker) started(containers []*container) string {
	d.t.Helper()
	arguments := []string{"inspect", "--format={{.State.StartedAt}} {{.State.Running}}"}
	for _, c := range containers {
		arguments = append(arguments, c.name)
	}
	output, err := d.try(d.t.Context(), nil, arguments...)
	require.NoError(d.t, err)
	return output
}

// notRecovered: the node has no path to a tmpfs that a container has made. Its volume is not replaced without it,
// because the container would write to the volume instead.
func notRecovered(t *testing.T, e *env) {
	w := e.worker(t)
	v := e.volume(t, "pvc-tmpfs")
	w.stage(v)
	target := w.publish(v, "writer", false)
	require.NoError(t, os.Mkdir(filepath.Join(target, "nested"), 0o700))
	other := startContainer(t, "writer", containerSpec{Write: target})
	c := startContainer(t, "tmpfs", containerSpec{
		Tmpfs: []string{filepath.Join(target, "nested")}, Write: filepath.Join(target, "nested"),
	})
	w.untilRemembered()
	begun := time.Now()
	require.Equal(t, 1, w.killClients())
	other.works(t, begun)
	note := w.event("GlusterMountsNotRecovered")
	require.Contains(t, note, "the node has no path to the tmpfs file system that is mounted below it at "+target)
	// The kernel caches the path for a second.
	testkit.Eventually(t, timeout, func(context.Context) error {
		if last, _ := c.state(); !strings.HasPrefix(last.text, "failed") {
			return fmt.Errorf("the container still writes: %q", last.text)
		}
		return nil
	})
	_, err := os.Stat(filepath.Join(target, "nested", "written"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Contains(t, w.metrics(), "weir_gluster_broken_mounts{client=")
}
