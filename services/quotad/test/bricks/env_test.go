//go:build linux

package bricks

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/process"
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
	// interval is the value of --check-interval, metrics that of --metrics-address.
	interval, metrics string
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
	testkit.Eventually(e.T, time.Minute, func(context.Context) error { return check() })
}

func (e *Env) arguments() []string {
	return []string{
		"standalone", "--glusterd-dir=" + e.glusterd, "--state-dir=" + e.state, "--check-interval=" + e.interval,
		"--metrics-address=" + e.metrics, "--log-level=error",
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

// child is quotad as a process. Its log has lines of the level info.
type child struct {
	*exec.Cmd
	log *output
}

// output is the output of a process.
type output struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.text.String()
}

// start starts quotad as a process, which ends with the test.
func (e *Env) start() child {
	e.Helper()
	c := child{exec.Command("/proc/self/exe"), &output{}}
	arguments := strings.ReplaceAll(strings.Join(e.arguments(), " "), "--log-level=error", "--log-level=info")
	c.Env = append(os.Environ(), childVariable+"="+arguments)
	c.Stdout, c.Stderr = c.log, c.log
	require.NoError(e, process.Start(c.Cmd))
	e.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if e.Failed() {
			e.Logf("the log of quotad:\n%s", c.log)
		}
	})
	return c
}

// logs waits until quotad has logged a text.
func (e *Env) logs(c child, text string) {
	e.Helper()
	e.eventually(func() error {
		if log := c.log.String(); !strings.Contains(log, text) {
			return fmt.Errorf("the log does not contain %q:\n%s", text, log)
		}
		return nil
	})
}

// serveMetrics makes quotad serve its metrics.
func (e *Env) serveMetrics() {
	e.Helper()
	require.NoError(e, quotakernel.StartLoopback())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(e, err)
	e.metrics = listener.Addr().String()
	require.NoError(e, listener.Close())
}

// metric returns the sum of a metric over all labels.
func (e *Env) metric(name string) (sum float64, err error) {
	response, err := http.Get("http://" + e.metrics + "/metrics")
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if rest, found := strings.CutPrefix(lines.Text(), name); found && (rest[0] == ' ' || rest[0] == '{') {
			value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
			if err != nil {
				return 0, err
			}
			sum += value
		}
	}
	return sum, lines.Err()
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
