//go:build linux

package bricks

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/quotakernel"
	"github.com/weir-dev/weir/services/quotad/internal/app"
)

const mebibyte = 1 << 20

// nodeID is the UUID of the Gluster node.
const nodeID = "09f386c7-714c-4808-90e5-eda16edbed0b"

// Env is a Gluster node: the files of glusterd, and bricks on XFS with project quota.
type Env struct {
	*testing.T
	glusterd, state string
	// interval is the value of --check-interval.
	interval string
}

func newEnv(t *testing.T) *Env {
	quotakernel.Need(t)
	dir := t.TempDir()
	e := &Env{T: t, glusterd: filepath.Join(dir, "glusterd"), state: filepath.Join(dir, "state"), interval: "10m"}
	require.NoError(t, os.MkdirAll(filepath.Join(e.glusterd, "vols"), 0o755))
	e.write(filepath.Join(e.glusterd, "glusterd.info"), "UUID="+nodeID+"\noperating-version=100000\n")
	return e
}

func (e *Env) write(name, content string) {
	e.Helper()
	require.NoError(e, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(e, os.WriteFile(name, []byte(content), 0o600))
}

// disk mounts a new file system and returns its directory.
func (e *Env) disk() string {
	_, point := quotakernel.New(e.T)
	return point
}

func (e *Env) eventually(check func() error) {
	e.Helper()
	testkit.Eventually(e.T, 30*time.Second, func(context.Context) error { return check() })
}

func (e *Env) arguments() []string {
	return []string{
		"standalone", "--glusterd-dir=" + e.glusterd, "--state-dir=" + e.state, "--check-interval=" + e.interval,
		"--metrics-address=", "--log-level=error",
	}
}

// run runs quotad in this process until the end of the test.
func (e *Env) run() (stop func()) {
	e.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(e.Context()))
	command := app.Command()
	command.SetArgs(e.arguments())
	done := make(chan error, 1)
	go func() { done <- command.ExecuteContext(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(e, <-done)
		}
	}
	e.Cleanup(stop)
	return stop
}

// start starts quotad as a process.
func (e *Env) start() *exec.Cmd {
	e.Helper()
	command := exec.Command("/proc/self/exe")
	command.Env = append(os.Environ(), childVariable+"="+strings.Join(e.arguments(), " "))
	require.NoError(e, command.Start())
	return command
}

// check runs quotad check and returns its output and its exit code.
func (e *Env) check() (output string, code int) {
	e.Helper()
	command := app.Command()
	var text bytes.Buffer
	command.SetOut(&text)
	command.SetErr(io.Discard)
	command.SetArgs([]string{"check", "--glusterd-dir=" + e.glusterd, "--state-dir=" + e.state})
	err := command.ExecuteContext(e.Context())
	var coder interface{ ExitCode() int }
	if errors.As(err, &coder) {
		return text.String(), coder.ExitCode()
	}
	require.NoError(e, err)
	return text.String(), 0
}
