// Package runner is the life of one run: plugins, the JVM, what it asks for, and how it ends.
package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-runner/internal/config"
	"github.com/weir-dev/weir/services/connect-runner/internal/health"
	"github.com/weir-dev/weir/services/connect-runner/internal/jvm"
	"github.com/weir-dev/weir/services/connect-runner/internal/outcome"
	"github.com/weir-dev/weir/services/connect-runner/internal/plugins"
	"github.com/weir-dev/weir/services/connect-runner/internal/publish"
)

// Where Linux shows a process's cgroup.
const (
	cgroupRoot = "/sys/fs/cgroup"
	cgroupSelf = "/proc/self/cgroup"
)

// Runner runs one connector, one task, or one request.
type Runner struct {
	Config *config.Config
	Log    *slog.Logger
	// Publisher is where a connector's task configs go.
	Publisher publish.Publisher
	// Stdout and Stderr are what the JVM's own go to.
	Stdout, Stderr io.Writer

	state   *health.State
	metrics *metrics
	// result of validate and offsets.
	result *jvm.Event
}

// Failure is the reason of failures that have none of their own.
func (r *Runner) Failure() string {
	switch r.Config.Mode {
	case config.ModeConnector:
		return contract.ReasonConnectorFailed
	case config.ModeTask:
		return contract.ReasonTaskFailed
	case config.ModeOffsets:
		return contract.ReasonOffsetsFailed
	}
	return contract.ReasonConfigInvalid
}

// Result of validate and offsets; nil where there is none.
func (r *Runner) Result() *jvm.Event { return r.result }

// Run runs until the JVM ends, or until the context does: then the JVM is stopped in good order. The error has a reason.
func (r *Runner) Run(ctx context.Context) error {
	registry := prometheus.NewRegistry()
	r.metrics = newMetrics(registry, r.Config)
	r.state = health.NewState(r.Config.HeartbeatTimeout, time.Now)
	scrapes := newScrapes()
	if r.Config.Address != "" {
		listener, err := net.Listen("tcp", r.Config.Address)
		if err != nil {
			return fmt.Errorf("listen for health and metrics: %w", err)
		}
		r.Log.Info("serving health and metrics", "address", listener.Addr().String())
		serving, stop := context.WithCancel(context.Background())
		defer stop()
		server := &health.Server{State: r.state, Gatherer: registry, JVM: scrapes.ask}
		go func() {
			if err := server.Serve(serving, listener); err != nil {
				r.Log.Error("health and metrics are not served any more", "error", err)
			}
		}()
	}
	if r.Config.Mode == config.ModeTask {
		if err := r.Config.CheckTask(); err != nil {
			return &outcome.Error{Reason: contract.ReasonTaskConfigStale, Err: err}
		}
	}
	runnerConfig, err := r.Config.ReadRunner()
	if err != nil {
		return &outcome.Error{Reason: contract.ReasonConfigInvalid, Err: err}
	}
	r.state.NotReady("fetching plugins")
	fetcher := &plugins.Fetcher{Dir: r.Config.PluginDir, HubURL: r.Config.HubURL, MaxBytes: r.Config.PluginMaxBytes, Log: r.Log}
	if err := fetcher.Install(ctx, runnerConfig.DownloadPlugins, runnerConfig.Plugins); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return &outcome.Error{Reason: contract.ReasonPluginInvalid, Err: err}
	}
	r.state.NotReady("starting the JVM")
	return r.runJVM(ctx, runnerConfig, fetcher.Installed(), scrapes)
}

func (r *Runner) runJVM(ctx context.Context, runnerConfig contract.RunnerConfig, installed string, scrapes *scrapes) error {
	limit := r.Config.MemoryLimit
	if limit == 0 {
		limit = jvm.MemoryLimit(cgroupRoot, cgroupSelf)
	}
	kills := jvm.OOMKills(cgroupRoot, cgroupSelf)
	process, err := jvm.Start(jvm.Command{
		Java:   r.Config.Java,
		Lib:    r.Config.Lib,
		Args:   slices.Concat(jvm.HeapArgs(limit), r.oneShotArgs(), runnerConfig.JVMOptions),
		Stdout: r.Stdout,
		Stderr: r.Stderr,
	}, r.settings(runnerConfig, installed))
	if err != nil {
		return err
	}
	r.Log.Info("JVM started", "pid", process.Pid(), "memoryLimit", limit)
	scrapes.connect(process)

	e := &ending{}
	publishing := newPublishing(r, func(err error) { e.fail(err); r.stop(process, e) })
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		select {
		case <-done:
		case <-ctx.Done():
			r.Log.Info("stopping", "grace", r.Config.Grace)
			// Else what is published meanwhile would make it ready again.
			publishing.close()
			r.state.NotReady("stopping")
			r.stop(process, e)
		}
	})
	if err := process.Events(func(event jvm.Event) { r.handle(event, e, publishing, scrapes) }); err != nil {
		// Nobody hears any more what it says.
		e.fail(err)
		process.Kill()
	}
	end, err := process.Wait()
	e.ended()
	close(done)
	publishing.close()
	scrapes.disconnect()
	wait.Wait()
	if err != nil {
		return err
	}
	return r.judge(e, end, jvm.OOMKills(cgroupRoot, cgroupSelf) > kills)
}

// oneShotArgs limits the JVM to its first compiler in modes that end within seconds: optimized code would not pay off.
func (r *Runner) oneShotArgs() []string {
	if r.Config.Mode == config.ModeValidate || r.Config.Mode == config.ModeOffsets {
		return []string{"-XX:TieredStopAtLevel=1"}
	}
	return nil
}

func (r *Runner) handle(event jvm.Event, e *ending, publishing *publishing, scrapes *scrapes) {
	switch event.Event {
	case "heartbeat":
		r.state.Beat()
	case "running":
		r.Log.Info("the task runs")
		r.state.Ready()
	case "taskConfigs":
		publishing.offer(event)
	case "metrics":
		scrapes.answer(event)
	case "failed":
		r.state.NotReady("failed")
		e.fail(&outcome.Error{Reason: event.Reason, Err: errors.New(event.Message)})
	case "stopped":
		e.stoppedCleanly()
	case "result":
		r.result = &event
	}
}

// stop asks the JVM to stop, and kills it when its time is over.
func (r *Runner) stop(process *jvm.Process, e *ending) {
	// First, as a JVM that does not read its commands may keep the one to stop waiting.
	e.killAfter(r.Config.Grace, func() {
		r.Log.Error("the JVM did not stop in time and is killed", "grace", r.Config.Grace)
		process.Kill()
	})
	if err := process.Stop(); err != nil {
		r.Log.Warn("the JVM cannot be asked to stop", "error", err)
	}
}

// judge decides what the end of the JVM means.
func (r *Runner) judge(e *ending, end jvm.End, oomKilled bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.err != nil:
		return e.err
	case e.killed:
		return outcome.Errorf(r.Failure(), "it did not stop within %s and was killed; what was not committed is done again", r.Config.Grace)
	case end.Code == jvm.ExitOnOutOfMemory:
		return outcome.Errorf(contract.ReasonOutOfMemory, "the JVM ran out of memory; raise the memory limit, or -Xmx where jvmOptions set it")
	case end.Signal == syscall.SIGKILL && oomKilled:
		return outcome.Errorf(contract.ReasonOutOfMemory, "the kernel killed the JVM: it used more than the container's memory limit")
	case e.stopped || r.result != nil:
		return nil
	case end.Signal != 0:
		return outcome.Errorf(r.Failure(), "the JVM was ended by the signal %q", end.Signal)
	}
	return outcome.Errorf(r.Failure(), "the JVM ended with exit code %d; its log says why", end.Code)
}

func (r *Runner) settings(runnerConfig contract.RunnerConfig, installed string) jvm.Settings {
	c := r.Config
	task, _ := c.Task() // Only mode task has one, and there it was validated.
	return jvm.Settings{
		Mode:                c.Mode,
		Name:                c.Name,
		Namespace:           c.Namespace,
		TaskID:              task,
		Zone:                c.Zone,
		WorkerConfigFile:    c.WorkerConfig,
		ConnectorConfigFile: c.ConnectorConfig,
		TaskConfigFile:      c.TaskConfig,
		PluginPath:          append([]string{installed}, c.PluginPath...),
		SinkGroup:           c.SinkGroup,
		StaticMembership:    c.StaticMembership,
		OffsetsAction:       c.OffsetsAction,
		OffsetsFile:         c.OffsetsFile,
		FenceTasks:          c.FenceTasks,
		ReconfigureDelayMs:  c.ReconfigureDelay.Milliseconds(),
		Logging: jvm.Logging{
			Level:  runnerConfig.DefaultLoggerLevel,
			Levels: runnerConfig.LoggerLevels,
			File:   runnerConfig.LogFile,
			JSON:   c.LogFormat == "json",
		},
	}
}
