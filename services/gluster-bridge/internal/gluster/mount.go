//go:build linux

// Package gluster is the outside world of gluster-bridge: FUSE clients of GlusterFS volumes, and the directories of
// persistent volumes on them.
package gluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// fuseType is the type of the mounts in mountinfo.
const fuseType = "fuse.glusterfs"

// Mount mounts a volume at a directory with a FUSE client of its own, and creates the directory. It does nothing if
// the client is mounted and answers. A client that has ended is unmounted first.
func Mount(ctx context.Context, m decide.Mountable, point, logs string) error {
	checked, findings := m.Check()
	if len(findings) > 0 {
		return findings[0]
	}
	switch state, err := stateOf(ctx, point); {
	case err != nil:
		return err
	case state == mounted:
		return nil
	case state == broken:
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount the ended client at %s: %w", point, err)
		}
	}
	if err := os.MkdirAll(point, 0o700); err != nil {
		return err
	}
	var output bytes.Buffer
	command := exec.CommandContext(ctx, "glusterfs", arguments(checked, point, logs)...)
	command.Stdout, command.Stderr = &output, &output
	// The client becomes a daemon; its parent returns when the first mount has succeeded or failed.
	command.WaitDelay = time.Second
	unavailable := func(err error) error {
		return fmt.Errorf("mount volume %s of %s: no host serves the volume; check that it is started, its name, and that "+
			"port %d and the ports of the bricks are reachable: %w: %s", m.Name, strings.Join(m.Hosts, ", "), checked.Port,
			err, strings.TrimSpace(output.String()))
	}
	if err := command.Run(); errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("mount volume %s: %w; use an image with the GlusterFS client", m.Name, err)
	} else if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return unavailable(err)
	}
	switch state, err := stateOf(ctx, point); {
	case err != nil:
		return err
	case state != mounted:
		_ = unix.Unmount(point, unix.MNT_DETACH)
		return unavailable(unix.ENOTCONN)
	}
	return nil
}

// arguments returns the arguments of the FUSE client. Each one is a word of its own: no shell parses them.
func arguments(m decide.Mountable, point, logs string) []string {
	var args []string
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

// stateOf returns whether a client is mounted at a directory and answers.
func stateOf(ctx context.Context, point string) (mountState, error) {
	mounts, err := node.Mounts()
	if err != nil {
		return unmounted, err
	}
	found := false
	for _, m := range mounts {
		if m.Point == point {
			if m.Type != fuseType {
				return unmounted, fmt.Errorf("%s is a mount of type %s; unmount it", point, m.Type)
			}
			found = true
		}
	}
	if !found {
		return unmounted, nil
	}
	err = Alive(ctx, point)
	switch {
	case err == nil:
		return mounted, nil
	case errors.Is(err, unix.ENOTCONN), errors.Is(err, unix.ECONNABORTED):
		return broken, nil
	}
	return unmounted, err
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
	data, err = readMeta(filepath.Join(point, ".meta", "graphs", "active", "volfile"))
	if err != nil {
		return Client{}, err
	}
	graph, err := decide.ParseVolfile(string(data))
	return Client{Version: version.Package, Graph: graph}, err
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
