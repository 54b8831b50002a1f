// Package runner runs connect-runner's modes: it installs plugins, starts the JVM, publishes task configs and maps the
// JVM's exit to an error.
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

// Paths of the process's cgroup.
const (
	cgroupRoot = "/sys/fs/cgroup"
	cgroupSelf = "/proc/self/cgroup"
)

// Runner runs one connector, one task, one validation or one offsets operation.
type Runner struct {
	Config *config.Config
	Log    *slog.Logger
	// Publisher publishes a connector's task configs.
	Publisher publish.Publisher
	// Stdout and Stderr receive the JVM's output.
	Stdout, Stderr io.Writer

	state   *health.State
	metrics *metrics
	// result of validate and offsets.
	result *jvm.Event
}

// DefaultReason returns the termination reason for errors without a reason.
func (r *Runner) DefaultReason() string {
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

// Result returns the result of validate and offsets; nil if there is none.
func (r *Runner) Result() *jvm.Event { return r.result }

// Run runs until the JVM exits. When ctx ends it stops the JVM gracefully.
func (r *Runner) Run(ctx context.Context) error {
	registry := prometheus.NewRegistry()
	r.metrics = newMetrics(registry, r.Config)
	r.state = health.NewState(r.Config.HeartbeatTimeout, time.Now)
	scrapes := newScrapes()
	if r.Config.MetricsAddress != "" {
		stop, err := r.serve(registry, scrapes)
		if err != nil {
			return err
		}
		defer stop()
	}
	settings, err := r.readConfigs(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	runnerConfig, unknown, err := r.Config.ReadRunner()
	if err != nil {
		return &outcome.Error{Reason: contract.ReasonConfigInvalid, Err: err}
	}
	if len(unknown) > 0 {
		r.Log.Warn(
			"ignoring unknown fields; a newer image may support them",
			"file",
			r.Config.RunnerConfig,
			"fields",
			unknown,
		)
	}
	r.state.NotReady("installing plugins")
	fetcher := &plugins.Fetcher{
		Dir:      r.Config.PluginDir,
		HubURL:   r.Config.HubURL,
		MaxBytes: r.Config.PluginMaxBytes,
		Log:      r.Log,
	}
	if err := fetcher.Install(ctx, runnerConfig.DownloadPlugins, runnerConfig.Plugins); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return &outcome.Error{Reason: contract.ReasonPluginInvalid, Err: err}
	}
	r.state.NotReady("starting the JVM")
	settings.PluginPath = append([]string{fetcher.Installed()}, r.Config.PluginPath...)
	settings.Logging = r.logging(runnerConfig)
	return r.runJVM(ctx, runnerConfig, settings, scrapes)
}

// serve starts the server for health and metrics. It runs until stop is called.
func (r *Runner) serve(registry *prometheus.Registry, scrapes *scrapes) (stop func(), err error) {
	listener, err := net.Listen("tcp", r.Config.MetricsAddress)
	if err != nil {
		return nil, fmt.Errorf("--metrics-address=%q: %w", r.Config.MetricsAddress, err)
	}
	r.Log.Info("serving metrics and health", "address", listener.Addr().String())
	ctx, stop := context.WithCancel(context.Background())
	server := &health.Server{State: r.state, Gatherer: registry, JVM: scrapes.scrape}
	go func() {
		if err := server.Serve(ctx, listener); err != nil {
			r.Log.Error("the server for metrics and health has failed", "error", err)
		}
	}()
	return stop, nil
}

func (r *Runner) runJVM(
	ctx context.Context, runnerConfig contract.RunnerConfig, settings jvm.Settings, scrapes *scrapes,
) error {
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
	}, settings)
	if err != nil {
		return err
	}
	r.Log.Info("JVM started", "pid", process.Pid(), "memoryLimit", limit)
	scrapes.connect(process)

	e := &exitState{}
	publishing := newPublishing(r, func(err error) { e.fail(err); r.stop(process, e) })
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		select {
		case <-done:
		case <-ctx.Done():
			r.Log.Info("stopping", "grace", r.Config.Grace)
			// Before NotReady: a publish that completes later would make the run ready again.
			publishing.close()
			r.state.NotReady("stopping")
			r.stop(process, e)
		}
	})
	if err := process.Events(func(event jvm.Event) { r.handle(event, e, publishing, scrapes) }); err != nil {
		// The JVM's events cannot be read any more.
		e.fail(err)
		process.Kill()
	}
	end, err := process.Wait()
	e.jvmExited()
	close(done)
	publishing.close()
	scrapes.disconnect()
	wait.Wait()
	if err != nil {
		return err
	}
	return r.exitError(e, end, jvm.OOMKills(cgroupRoot, cgroupSelf) > kills)
}

// oneShotArgs disables the optimizing compiler for modes that run for seconds only.
func (r *Runner) oneShotArgs() []string {
	if r.Config.Mode == config.ModeValidate || r.Config.Mode == config.ModeOffsets {
		return []string{"-XX:TieredStopAtLevel=1"}
	}
	return nil
}

func (r *Runner) handle(event jvm.Event, e *exitState, publishing *publishing, scrapes *scrapes) {
	switch event.Event {
	case "heartbeat":
		r.state.Heartbeat()
	case "running":
		r.Log.Info("task is running")
		r.state.Ready()
	case "taskConfigs":
		publishing.offer(event)
	case "metrics":
		scrapes.respond(event)
	case "failed":
		r.state.NotReady("failed")
		e.fail(&outcome.Error{Reason: event.Reason, Err: errors.New(event.Message)})
	case "stopped":
		e.stoppedGracefully()
	case "result":
		r.result = &event
	}
}

// stop asks the JVM to stop and kills it after the grace period.
func (r *Runner) stop(process *jvm.Process, e *exitState) {
	// The timer starts first: process.Stop blocks if the JVM does not read its commands.
	e.killAfter(r.Config.Grace, func() {
		r.Log.Error("killing the JVM: it did not stop within the grace period", "grace", r.Config.Grace)
		process.Kill()
	})
	if err := process.Stop(); err != nil {
		r.Log.Warn("send the stop command to the JVM", "error", err)
	}
}

// exitError maps the JVM's exit to an error; nil after a graceful stop or a result.
func (r *Runner) exitError(e *exitState, end jvm.End, oomKilled bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.err != nil:
		return e.err
	case e.killed:
		return outcome.Errorf(r.DefaultReason(),
			"the JVM did not stop within %s and was killed; uncommitted records are processed again", r.Config.Grace)
	case end.Code == jvm.ExitOnOutOfMemory && end.OutOfMemory != "":
		return outcome.Errorf(contract.ReasonOutOfMemory,
			"the JVM ran out of memory (%s); raise the memory limit, or -Xmx if jvmOptions sets it", end.OutOfMemory)
	case end.Signal == syscall.SIGKILL && oomKilled:
		return outcome.Errorf(contract.ReasonOutOfMemory,
			"the kernel killed the JVM: it exceeded the container's memory limit; raise the limit")
	case e.stopped || r.result != nil:
		return nil
	case end.Signal != 0:
		return outcome.Errorf(r.DefaultReason(), "the JVM was terminated by signal %q", end.Signal)
	}
	if !end.Started {
		return outcome.Errorf(contract.ReasonJVMStartFailed,
			"the JVM did not start (exit code %d): %s; check jvmOptions", end.Code, end.FirstLine)
	}
	return outcome.Errorf(r.DefaultReason(), "the JVM exited with code %d; see its log", end.Code)
}

// readConfigs reads the configuration of the connector or task and returns the JVM's settings.
func (r *Runner) readConfigs(ctx context.Context) (jvm.Settings, error) {
	c := r.Config
	settings := jvm.Settings{
		Mode:               c.Mode,
		Name:               c.Name,
		Namespace:          c.Namespace,
		Zone:               c.Zone,
		WorkerConfigFile:   c.WorkerConfig,
		SinkGroup:          c.SinkGroup,
		OffsetsTopic:       c.OffsetsTopic,
		StaticMembership:   c.StaticMembership,
		OffsetsAction:      c.OffsetsAction,
		OffsetsFile:        c.OffsetsFile,
		FenceTasks:         c.FenceTasks,
		RemainingTasks:     c.RemainingTasks,
		PreviousTasks:      c.PreviousTasks,
		StopTimeoutMs:      c.TaskStopTimeout().Milliseconds(),
		ReconfigureDelayMs: c.ReconfigureDelay.Milliseconds(),
	}
	if c.Mode == config.ModeTask {
		settings.TaskID, _ = c.Task() // Validated with the flags.
		task, err := c.ReadTask()
		if err != nil {
			return settings, &outcome.Error{Reason: contract.ReasonTaskConfigStale, Err: err}
		}
		settings.Task = &task
		return settings, nil
	}
	r.state.NotReady("reading the connector's configuration")
	connector, err := c.ReadConnector(ctx)
	switch {
	case errors.Is(err, config.ErrConnectorStale):
		return settings, &outcome.Error{Reason: contract.ReasonConnectorConfigStale, Err: err}
	case err != nil:
		return settings, &outcome.Error{Reason: contract.ReasonConfigInvalid, Err: err}
	}
	settings.ConnectorConfig = connector
	return settings, nil
}

func (r *Runner) logging(runnerConfig contract.RunnerConfig) jvm.Logging {
	return jvm.Logging{
		Level:  runnerConfig.DefaultLoggerLevel,
		Levels: runnerConfig.LoggerLevels,
		File:   runnerConfig.LogFile,
		JSON:   r.Config.Log.Format == "json",
	}
}
