//go:build linux

// Package gluster is the outside world of gluster-bridge: FUSE clients of GlusterFS volumes, and the directories of
// persistent volumes on them.
package gluster

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// Key names the mount of a volume: its name and a hash of everything that the client is started with.
func Key(m decide.Mountable) string {
	sum := sha256.Sum256([]byte(fmt.Sprint(strings.Join(m.Hosts, "\x00"), m.Port, m.Name, m.Options)))
	return m.Name + "-" + hex.EncodeToString(sum[:8])
}

// Local runs FUSE clients as children of this process. They outlive it, unless its container ends.
type Local struct {
	// Root is the directory of the mount points.
	Root string
	// Logs is the directory of the clients' log files.
	Logs string
	// Log receives the end of each client; optional.
	Log *slog.Logger

	mu sync.Mutex
	// children are closed when the client of a key ends.
	children map[string]chan struct{}
}

// Mount mounts a volume with a client of its own. It does nothing if the client is mounted and serves requests. A
// client that has ended is unmounted first.
func (l *Local) Mount(ctx context.Context, m decide.Mountable) error {
	checked, findings := m.Check()
	if len(findings) > 0 {
		return findings[0]
	}
	key := Key(m)
	point := filepath.Join(l.Root, key)
	if serves, err := serves(ctx, point); err != nil || serves {
		return err
	}
	err := l.run(ctx, key, point, arguments(checked, point, l.logFile(key)))
	if errors.Is(err, errNoAnswer) {
		return fmt.Errorf("mount volume %s of %s: no host serves the volume; check that it is started, its name, and that "+
			"port %d and the ports of the bricks are reachable, with TLS if glusterd has secure-access, and with a certificate "+
			"if the volume has client.ssl: %w", m.Name, strings.Join(m.Hosts, ", "), checked.Port, err)
	} else if err != nil {
		return fmt.Errorf("mount volume %s: %w", m.Name, err)
	}
	return nil
}

// serves reports whether a client is mounted and serves requests. One that does not, because it has ended or is not
// connected, is unmounted.
func serves(ctx context.Context, point string) (bool, error) {
	state, err := stateOf(ctx, point)
	if err != nil || state != broken {
		return state == mounted, err
	}
	if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
		return false, fmt.Errorf("unmount the client at %s: %w", point, err)
	}
	return false, nil
}

func (l *Local) logFile(key string) string { return filepath.Join(l.Logs, key+".log") }

// errNoAnswer means that a client has started and serves nothing.
var errNoAnswer = errors.New("the client does not serve the volume")

// run starts a client and waits until it serves what it mounts at a directory. The files are open in the client from
// the number 3.
func (l *Local) run(ctx context.Context, key, point string, args []string, files ...*os.File) error {
	if err := os.MkdirAll(point, 0o700); err != nil {
		return err
	}
	command := exec.Command("glusterfs", args...)
	command.ExtraFiles = files
	// A signal to this process and its group is not for the client.
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w; use an image with the GlusterFS client", err)
	} else if err != nil {
		return fmt.Errorf("start its client: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		err := command.Wait()
		if l.Log != nil {
			l.Log.Info("a client has ended", "client", key, "pid", command.Process.Pid, "error", err)
		}
		close(ended)
	}()
	l.mu.Lock()
	if l.children == nil {
		l.children = map[string]chan struct{}{}
	}
	l.children[key] = ended
	l.mu.Unlock()
	if err := await(ctx, point, ended); err != nil {
		_ = command.Process.Kill()
		_ = unix.Unmount(point, unix.MNT_DETACH)
		return fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	return nil
}

// await waits until a new client serves the volume: the bricks have to answer once.
func await(ctx context.Context, point string, ended <-chan struct{}) error {
	const interval = 10 * time.Millisecond
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		state, err := stateOf(ctx, point)
		if state == mounted {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ended:
			return errors.New("its client has ended")
		case <-ctx.Done():
			return cmp.Or(err, context.Cause(ctx))
		}
	}
}

// endDelay is the time between the end of a process and the end of its mounts, at most.
const endDelay = 100 * time.Millisecond

// Running reports whether a client of this process runs.
func (l *Local) Running(_ context.Context, m decide.Mountable) (bool, error) {
	l.mu.Lock()
	ended, known := l.children[Key(m)]
	l.mu.Unlock()
	if !known {
		return false, nil
	}
	timer := time.NewTimer(endDelay)
	defer timer.Stop()
	select {
	case <-ended:
		return false, nil
	case <-timer.C:
		return true, nil
	}
}

// Unmount unmounts a volume. Its client ends when the last mount of a pod is gone.
func (l *Local) Unmount(_ context.Context, m decide.Mountable) error {
	return Unmount(filepath.Join(l.Root, Key(m)))
}

// arguments returns the arguments of the FUSE client. Each one is a word of its own: no shell parses them.
func arguments(m decide.Mountable, point, logs string) []string {
	args := []string{"--no-daemon"}
	for _, host := range m.Hosts {
		args = append(args, "--volfile-server="+host)
	}
	args = append(args, "--volfile-server-port="+strconv.Itoa(int(m.Port)), "--volfile-id=/"+m.Name,
		"--process-name=fuse", "--log-file="+logs)
	for _, option := range m.Options {
		args = append(args, "--"+option)
	}
	return append(args, point)
}

type mountState int

const (
	unmounted mountState = iota
	mounted
	broken
)

// stateOf returns whether a client is mounted at a directory and serves requests. It is broken if statfs fails with
// ENOTCONN: the client has ended, or it runs and none of its bricks is reachable.
func stateOf(ctx context.Context, point string) (mountState, error) {
	s, err := Statfs(ctx, point)
	switch {
	case err == nil && s.Type == unix.FUSE_SUPER_MAGIC:
		return mounted, nil
	case errors.Is(err, unix.ENOTCONN), errors.Is(err, unix.ECONNABORTED):
		return broken, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return unmounted, err
	}
	mount, err := topMount(point)
	if err == nil && mount != nil {
		err = fmt.Errorf("%s is a mount of type %s; unmount it", point, mount.Type)
	}
	return unmounted, err
}

// topMount returns the top mount of a directory, or nil.
func topMount(point string) (*node.Mount, error) {
	mounts, err := node.Mounts()
	if err != nil {
		return nil, err
	}
	for i := range slices.Backward(mounts) {
		if mounts[i].Point == point {
			return &mounts[i], nil
		}
	}
	return nil, nil //nolint:nilnil // no mount is not an error
}

// Alive returns an error if the file system at a path does not answer before ctx ends. The system call may block until
// the bricks answer; it is not interrupted.
func Alive(ctx context.Context, point string) error {
	_, err := Statfs(ctx, point)
	return err
}

// Unmount unmounts a directory and removes it. It does nothing if the directory does not exist.
func Unmount(point string) error {
	if err := Unbind(point); err != nil {
		return err
	}
	if err := os.Remove(point); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Client describes a mounted client.
type Client struct {
	// Version of the client.
	Version string
	// Graph is the volume as the client sees it.
	Graph decide.Graph
}

// maxMeta is the largest file that is read from the client's virtual directory .meta.
const maxMeta = 16 << 20

// Inspect reads the version of a mounted client and the volfile that it runs from its virtual directory .meta.
func Inspect(point string) (Client, error) {
	data, err := readMeta(filepath.Join(point, ".meta", "version"))
	if err != nil {
		return Client{}, err
	}
	var version struct {
		Package string `json:"Package Version"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return Client{}, fmt.Errorf("parse the version of the client: %w", err)
	}
	// The volfile has the password of the volume. Only what ParseVolfile keeps leaves this function.
	volfile, err := readVolfile(point)
	if err != nil {
		return Client{}, err
	}
	graph, err := decide.ParseVolfile(volfile)
	return Client{Version: version.Package, Graph: graph}, err
}

// readVolfile reads the volfile that a client runs.
func readVolfile(point string) (string, error) {
	data, err := readMeta(filepath.Join(point, ".meta", "graphs", "active", "volfile"))
	return string(data), err
}

// Offline returns the bricks to which the client is not connected, as in Graph.Bricks. It reads the state of the client
// and sends nothing to the bricks.
func (t *Tree) Offline() ([]string, error) {
	var offline []string
	for i, client := range t.Client.Graph.Clients {
		data, err := readMeta(filepath.Join(t.Point, ".meta", "graphs", "active", client, "private"))
		if err != nil {
			return nil, err
		}
		if !decide.Connected(string(data)) {
			offline = append(offline, t.Client.Graph.Bricks[i])
		}
	}
	return offline, nil
}

func readMeta(name string) ([]byte, error) {
	info, err := os.ReadFile(name)
	if err == nil && len(info) > maxMeta {
		err = fmt.Errorf("%s has more than %d bytes", name, maxMeta)
	}
	return info, err
}
