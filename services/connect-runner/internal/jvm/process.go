// Package jvm runs the Java part of connect-runner as a child process and exchanges events and commands with it.
package jvm

import (
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
	"time"

	"github.com/weir-dev/weir/apis/contract"
)

// Settings is the first line on the JVM's standard input. The Java class Settings documents the fields.
type Settings struct {
	Mode             string `json:"mode"`
	Name             string `json:"name"`
	Namespace        string `json:"namespace"`
	TaskID           int    `json:"taskId"`
	Zone             string `json:"zone"`
	WorkerConfigFile string `json:"workerConfigFile"`
	// ConnectorConfig is set in all modes except task, Task in mode task.
	ConnectorConfig    map[string]*string   `json:"connectorConfig,omitempty"`
	Task               *contract.TaskConfig `json:"task,omitempty"`
	PluginPath         []string             `json:"pluginPath"`
	SinkGroup          string               `json:"sinkGroup"`
	OffsetsTopic       string               `json:"offsetsTopic"`
	StaticMembership   bool                 `json:"staticMembership"`
	OffsetsAction      string               `json:"offsetsAction"`
	OffsetsFile        string               `json:"offsetsFile"`
	FenceTasks         int                  `json:"fenceTasks"`
	RemainingTasks     int                  `json:"remainingTasks"`
	PreviousTasks      int                  `json:"previousTasks"`
	StopTimeoutMs      int64                `json:"stopTimeoutMs"`
	ReconfigureDelayMs int64                `json:"reconfigureDelayMs"`
	Logging            Logging              `json:"logging"`
}

// Logging configures the JVM's log.
type Logging struct {
	Level  string            `json:"level"`
	Levels map[string]string `json:"levels"`
	File   string            `json:"file"`
	JSON   bool              `json:"json"`
}

// Command is the command line of the JVM.
type Command struct {
	// Java is the launcher, Lib the directory with connect-runner's jars.
	Java, Lib string
	// Args are JVM options: heap size and the user's options.
	Args []string
	// Stdout and Stderr receive the JVM's output.
	Stdout, Stderr io.Writer
}

// Process is a running JVM.
type Process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	events *os.File
	output *outputMonitor
	write  sync.Mutex
	// started is true after the first event.
	started bool
}

const (
	// ExitOnOutOfMemory is the exit code of -XX:+ExitOnOutOfMemoryError.
	ExitOnOutOfMemory = 3
	// outputDelay bounds the wait for output after the JVM has exited.
	outputDelay = 5 * time.Second
)

// Start starts the JVM. It writes the configuration to standard input: every process can read a command line.
func Start(c Command, settings Settings) (*Process, error) {
	// The JVM uses the class data archive only if the class path is the same text as when the archive was created.
	lib, err := filepath.Abs(c.Lib)
	if err != nil {
		return nil, fmt.Errorf("start the JVM: %w", err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the JVM: %w", err)
	}
	defer write.Close()
	args := []string{
		"-XX:+ExitOnOutOfMemoryError",
		"-Djava.awt.headless=true",
		"-Dlog4j2.disable.jmx=true",
		"-Dlog4j.shutdownHookEnabled=false",
		"-Dlog4j2.statusLoggerLevel=ERROR",
		"-Dweir.events=/dev/fd/3",
	}
	if archive := filepath.Join(lib, "runner.jsa"); exists(archive) {
		args = append(args, "-Xshare:auto", "-XX:SharedArchiveFile="+archive)
	}
	args = append(args, options(c.Java, filepath.Join(lib, "jvm.options"))...)
	args = append(args, c.Args...)
	jars, err := filepath.Glob(filepath.Join(lib, "*.jar"))
	if err != nil || len(jars) == 0 {
		read.Close()
		return nil, fmt.Errorf("start the JVM: no jars in %s", lib)
	}
	args = append(args, "-cp", strings.Join(jars, ":"), "dev.weir.connect.Main")
	cmd := exec.Command(c.Java, args...)
	output := &outputMonitor{}
	cmd.Stdout, cmd.Stderr = output.watch(c.Stdout), output.watch(c.Stderr)
	// A child process of a plugin may keep the pipes open.
	cmd.WaitDelay = outputDelay
	cmd.ExtraFiles = []*os.File{write}
	// A separate process group: a terminal's Ctrl-C goes to this process, which stops the JVM gracefully.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		read.Close()
		return nil, fmt.Errorf("start the JVM: %w", err)
	}
	if err := cmd.Start(); err != nil {
		read.Close()
		return nil, fmt.Errorf("start the JVM: %w", err)
	}
	p := &Process{cmd: cmd, stdin: stdin, events: read, output: output}
	if err := p.send(settings); err != nil {
		p.Kill()
		return p, nil // The JVM's exit code says more than the broken pipe.
	}
	return p, nil
}

// Events calls handle for each event until the JVM exits.
func (p *Process) Events(handle func(Event)) error {
	defer p.events.Close()
	return ReadEvents(p.events, func(event Event) {
		p.started = true
		handle(event)
	})
}

// Stop asks the JVM to stop gracefully.
func (p *Process) Stop() error { return p.send(map[string]any{"command": "stop"}) }

// RequestMetrics requests the JVM's metrics. The response is an event with the same id.
func (p *Process) RequestMetrics(id int64) error {
	return p.send(map[string]any{"command": "metrics", "id": id})
}

// Kill sends SIGKILL.
func (p *Process) Kill() { _ = p.cmd.Process.Kill() }

// Pid returns the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Wait waits for the JVM to exit. Call it after Events has returned.
func (p *Process) Wait() (End, error) {
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return End{}, fmt.Errorf("wait for the JVM: %w", err)
	}
	end := End{Code: p.cmd.ProcessState.ExitCode(), Started: p.started}
	end.OutOfMemory, end.FirstLine = p.output.findings()
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		end.Signal = status.Signal()
	}
	return end, nil
}

// End describes the exit of the JVM.
type End struct {
	// Code is the exit code, -1 after a signal.
	Code int
	// Signal that terminated the JVM; 0 if it exited.
	Signal syscall.Signal
	// Started is true if the JVM has sent an event.
	Started bool
	// OutOfMemory is the JVM's own message about the memory that is exhausted, for example "Java heap space"; else
	// empty.
	OutOfMemory string
	// FirstLine is the first line that the JVM printed. It names an invalid option.
	FirstLine string
}

func (p *Process) send(message any) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	p.write.Lock()
	defer p.write.Unlock()
	_, err = p.stdin.Write(append(line, '\n'))
	return err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
