//go:build linux

package node

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/process"
)

// asContainer is set in a copy of the test process that runs as a container.
const asContainer = "WEIR_TEST_CONTAINER"

// containerSpec is what a container mounts and does.
type containerSpec struct {
	// Binds are mounted first: source and target.
	Binds [][2]string
	// Tmpfs are mount points of file systems that only the container has.
	Tmpfs []string
	// Write is a directory in which the container writes a file again and again, Read a file that it reads.
	Write, Read string
}

// interval is the time between two accesses of a container.
const interval = 10 * time.Millisecond

// runContainer does what a container does if the process is a copy for it. It prints a line for each change between
// success and failure.
func runContainer() {
	text := os.Getenv(asContainer)
	if text == "" {
		return
	}
	var spec containerSpec
	err := json.Unmarshal([]byte(text), &spec)
	for _, bind := range spec.Binds {
		err = errors.Join(err, unix.Mount(bind[0], bind[1], "", unix.MS_BIND, ""))
	}
	for _, point := range spec.Tmpfs {
		err = errors.Join(err, unix.Mount("tmpfs", point, "tmpfs", 0, ""))
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	last := ""
	for range time.Tick(interval) {
		now := "ok"
		if err := spec.access(); err != nil {
			now = "failed " + err.Error()
		}
		if now != last {
			fmt.Println(time.Now().UnixNano(), now)
			last = now
		}
	}
}

func (s containerSpec) access() error {
	if s.Read != "" {
		if _, err := os.ReadFile(s.Read); err != nil {
			return err
		}
	}
	if s.Write == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(s.Write, "written"), []byte(time.Now().String()), 0o600)
}

// container is a process in a private mount namespace.
type container struct {
	name    string
	command *exec.Cmd

	mu      sync.Mutex
	changes []change
}

// change is a change between success and failure.
type change struct {
	at   time.Time
	text string
}

// startContainer starts a container and waits for its first success.
func startContainer(t *testing.T, name string, spec containerSpec) *container {
	t.Helper()
	text, err := json.Marshal(spec)
	require.NoError(t, err)
	c := &container{name: name, command: exec.Command("/proc/self/exe")}
	c.command.Env = append(os.Environ(), asContainer+"="+string(text))
	c.command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	output, err := c.command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start(c.command))
	c.follow(t, output)
	t.Cleanup(func() {
		_ = c.command.Process.Kill()
		_ = c.command.Wait()
	})
	c.works(t, time.Time{})
	return c
}

// follow reads the output of a container.
func (c *container) follow(t *testing.T, output io.Reader) {
	t.Helper()
	go func() {
		for lines := bufio.NewScanner(output); lines.Scan(); {
			first, text, _ := strings.Cut(lines.Text(), " ")
			var at int64
			if _, err := fmt.Sscan(first, &at); err != nil {
				text = lines.Text()
			}
			c.mu.Lock()
			c.changes = append(c.changes, change{time.Unix(0, at), text})
			c.mu.Unlock()
		}
	}()
}

// state returns the last change, and all failures.
func (c *container) state() (last change, failures []change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, last = range c.changes {
		if last.text != "ok" {
			failures = append(failures, last)
		}
	}
	return last, failures
}

// works waits until the container has failed after a moment and works again, and returns when it did. With the zero
// moment it waits for the first success.
func (c *container) works(t *testing.T, after time.Time) (at time.Time) {
	t.Helper()
	testkit.Eventually(t, timeout, func(context.Context) error {
		last, _ := c.state()
		if last.text != "ok" || !last.at.After(after) {
			return fmt.Errorf("container %s: %q", c.name, last.text)
		}
		at = last.at
		return nil
	})
	return at
}
