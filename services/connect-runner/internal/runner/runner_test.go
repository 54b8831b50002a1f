package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-runner/internal/config"
	"github.com/weir-dev/weir/services/connect-runner/internal/health"
	"github.com/weir-dev/weir/services/connect-runner/internal/jvm"
	"github.com/weir-dev/weir/services/connect-runner/internal/outcome"
	"github.com/weir-dev/weir/services/connect-runner/internal/publish"
)

func TestExitOfTheJVMMapsToAReason(t *testing.T) {
	failure := outcome.Errorf(contract.ReasonConfigInvalid, "topic: missing")
	for _, test := range []struct {
		name      string
		state     *exitState
		end       jvm.End
		oomKilled bool
		reason    string
		message   string
	}{
		{"a graceful stop", &exitState{stopped: true}, jvm.End{Code: 0}, false, "", ""},
		{
			"a reported failure",
			&exitState{err: failure},
			jvm.End{Code: 1},
			false,
			contract.ReasonConfigInvalid,
			"topic: missing",
		},
		{
			"a reported failure and then a kill",
			&exitState{err: failure, killed: true},
			jvm.End{Code: -1, Signal: syscall.SIGKILL},
			false,
			contract.ReasonConfigInvalid,
			"topic: missing",
		},
		{
			"the grace period has passed",
			&exitState{killed: true},
			jvm.End{Code: -1, Signal: syscall.SIGKILL},
			false,
			contract.ReasonTaskFailed,
			"the JVM did not stop within 57s and was killed",
		},
		{
			"the heap is full",
			&exitState{},
			jvm.End{Code: jvm.ExitOnOutOfMemory, Started: true, OutOfMemory: "Metaspace"},
			false,
			contract.ReasonOutOfMemory,
			"the JVM ran out of memory (Metaspace)",
		},
		{
			"a plugin calls System.exit(3), the exit code of a full heap",
			&exitState{},
			jvm.End{Code: jvm.ExitOnOutOfMemory, Started: true},
			false,
			contract.ReasonTaskFailed,
			"the JVM exited with code 3",
		},
		{
			"the container limit is exceeded",
			&exitState{},
			jvm.End{Code: -1, Signal: syscall.SIGKILL},
			true,
			contract.ReasonOutOfMemory,
			"the kernel killed the JVM",
		},
		{
			"SIGKILL by another process",
			&exitState{},
			jvm.End{Code: -1, Signal: syscall.SIGKILL},
			false,
			contract.ReasonTaskFailed,
			`terminated by signal "killed"`,
		},
		{
			"a crash of the JVM",
			&exitState{},
			jvm.End{Code: -1, Signal: syscall.SIGABRT},
			false,
			contract.ReasonTaskFailed,
			`terminated by signal "aborted"`,
		},
		{
			"an option that the JVM does not accept",
			&exitState{},
			jvm.End{Code: 1, FirstLine: "Unrecognized VM option 'X'"},
			false,
			contract.ReasonJVMStartFailed,
			"the JVM did not start (exit code 1): Unrecognized VM option 'X'; check jvmOptions",
		},
		{
			"a plugin calls System.exit",
			&exitState{},
			jvm.End{Code: 0, Started: true},
			false,
			contract.ReasonTaskFailed,
			"the JVM exited with code 0",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &Runner{Config: config.New(config.ModeTask, func(string) string { return "" })}
			err := r.exitError(test.state, test.end, test.oomKilled)
			if test.reason == "" {
				require.NoError(t, err)
				return
			}
			got := outcome.Termination(err, "Other")
			require.Equal(t, test.reason, got.Reason)
			require.Contains(t, got.Message, test.message)
		})
	}
}

// publisher returns errs one by one and then records the number of task configs of each set.
type publisher struct {
	mu     sync.Mutex
	errs   []error
	counts []int
	done   chan struct{}
}

func (p *publisher) Publish(_ context.Context, set publish.Set) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.errs) > 0 {
		err := p.errs[0]
		p.errs = p.errs[1:]
		return false, err
	}
	p.counts = append(p.counts, len(set.Tasks.Files))
	p.done <- struct{}{}
	return true, nil
}

func startPublishing(p *publisher) (*publishing, *Runner, chan error) {
	r := &Runner{
		Config:    config.New(config.ModeConnector, func(string) string { return "" }),
		Log:       slog.New(slog.DiscardHandler),
		Publisher: p,
		state:     health.NewState(time.Minute, time.Now),
	}
	r.metrics = newMetrics(prometheus.NewRegistry(), r.Config)
	failed := make(chan error, 1)
	return newPublishing(r, func(err error) { failed <- err }), r, failed
}

func configs(n int) jvm.Event {
	return jvm.Event{Configs: make([]contract.TaskConfig, n), RequestedAt: time.Now().UnixMilli()}
}

func TestPublishIsRetriedAndMakesTheConnectorReady(t *testing.T) {
	to := &publisher{
		errs: []error{errors.New("connection refused"), errors.New("connection refused again")},
		done: make(chan struct{}, 9),
	}
	p, r, _ := startPublishing(to)
	defer p.close()
	p.offer(configs(3))
	require.Error(t, r.state.IsReady())
	<-to.done
	require.Eventually(t, func() bool { return r.state.IsReady() == nil }, 10*time.Second, time.Millisecond)
	require.Equal(t, []int{3}, to.counts)
}

func TestOnlyTheNewestWaitingTaskConfigsArePublished(t *testing.T) {
	to := &publisher{errs: []error{errors.New("connection refused")}, done: make(chan struct{}, 9)}
	p, _, _ := startPublishing(to)
	defer p.close()
	p.offer(configs(1))
	require.Eventually(
		t,
		func() bool { to.mu.Lock(); defer to.mu.Unlock(); return len(to.errs) == 0 },
		10*time.Second,
		time.Millisecond,
	)
	for i := range 10 {
		p.offer(configs(2 + i))
	}
	require.Eventually(t, func() bool {
		to.mu.Lock()
		defer to.mu.Unlock()
		return len(to.counts) > 0 && to.counts[len(to.counts)-1] == 11
	}, 10*time.Second, time.Millisecond)
	require.NotContains(t, to.counts, 1)
}

func TestLastOfManyFrequentChangesIsPublished(t *testing.T) {
	to := &publisher{done: make(chan struct{}, 99)}
	p, _, _ := startPublishing(to)
	defer p.close()
	for i := range 20 {
		p.offer(configs(1 + i))
		if i == 0 {
			<-to.done
		}
	}
	require.Eventually(t, func() bool {
		to.mu.Lock()
		defer to.mu.Unlock()
		return len(to.counts) > 0 && to.counts[len(to.counts)-1] == 20
	}, 10*time.Second, time.Millisecond)
	require.LessOrEqual(t, len(to.counts), 3, "the changes in between are not published")
}

func TestOnlyPermanentPublishErrorsEndTheConnector(t *testing.T) {
	to := &publisher{errs: []error{fmt.Errorf("x: %w", publish.ErrTooLarge)}, done: make(chan struct{}, 9)}
	p, _, failed := startPublishing(to)
	p.offer(configs(1))
	require.Equal(t, contract.ReasonTaskConfigsTooLarge, outcome.Termination(<-failed, "").Reason)
	p.close()

	to = &publisher{errs: []error{publish.ErrSuperseded}, done: make(chan struct{}, 9)}
	p, _, failed = startPublishing(to)
	p.offer(configs(1))
	require.Eventually(
		t,
		func() bool { to.mu.Lock(); defer to.mu.Unlock(); return len(to.errs) == 0 },
		10*time.Second,
		time.Millisecond,
	)
	p.offer(configs(2))
	<-to.done
	p.close()
	require.Empty(t, failed)
}

func TestJVMWithInvalidEventsIsKilled(t *testing.T) {
	for _, test := range []struct{ name, prints, message string }{
		{"a line that is not JSON", "echo hunter2", "a line of 7 bytes is not an event"},
		{"a line without the field event", `echo '{"secret":"hunter2"}'`, "a line of 20 bytes has no field event"},
		{"a line without end", "cat /dev/zero", "token too long"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write := func(name, content string) string {
				path := filepath.Join(dir, name)
				require.NoError(t, os.WriteFile(path, []byte(content), 0o700))
				return path
			}
			write("runner.jar", "")
			c := config.New(config.ModeTask, func(string) string { return "" })
			c.Lib, c.PluginDir, c.RunnerConfig, c.MetricsAddress = dir, filepath.Join(
				dir,
				"plugins",
			), filepath.Join(
				dir,
				"none",
			), ""
			c.TaskID, c.TaskConfig = "0", write("task.json", `{"connector":{"a":"b"},"task":{"c":"d"}}`)
			// The script ignores all signals except SIGKILL.
			c.Java = write(
				"java",
				"#!/bin/sh\ntrap '' TERM HUP INT PIPE\necho '{\"event\":\"running\"}' >&3\n"+test.prints+
					" >&3 2>/dev/null\necho '{\"event\":\"stopped\"}' >&3 2>/dev/null\nexec cat\n",
			)
			c.Grace = time.Second
			// The deadline passes only if the JVM is not killed.
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			r := &Runner{Config: c, Log: slog.New(slog.DiscardHandler)}
			err := r.Run(ctx)
			require.NoError(t, ctx.Err(), "the JVM was not killed")
			got := outcome.Termination(err, r.DefaultReason())
			require.Equal(t, contract.ReasonTaskFailed, got.Reason)
			require.Contains(t, got.Message, "read events of the JVM: ")
			require.Contains(t, got.Message, test.message)
			require.NotContains(t, got.Message, "hunter2")
		})
	}
}
