// Package jvm runs the JVM part of connect-runner as a child process and talks to it.
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
)

// Settings is what the JVM is told, in the terms of its class Settings.
type Settings struct {
	Mode                string   `json:"mode"`
	Name                string   `json:"name"`
	Namespace           string   `json:"namespace"`
	TaskID              int      `json:"taskId"`
	Zone                string   `json:"zone"`
	WorkerConfigFile    string   `json:"workerConfigFile"`
	ConnectorConfigFile string   `json:"connectorConfigFile"`
	TaskConfigFile      string   `json:"taskConfigFile"`
	PluginPath          []string `json:"pluginPath"`
	SinkGroup           string   `json:"sinkGroup"`
	StaticMembership    bool     `json:"staticMembership"`
	OffsetsAction       string   `json:"offsetsAction"`
	OffsetsFile         string   `json:"offsetsFile"`
	FenceTasks          int      `json:"fenceTasks"`
	ReconfigureDelayMs  int64    `json:"reconfigureDelayMs"`
	Logging             Logging  `json:"logging"`
}

// Logging of the JVM.
type Logging struct {
	Level  string            `json:"level"`
	Levels map[string]string `json:"levels"`
	File   string            `json:"file"`
	JSON   bool              `json:"json"`
}

// Command is how the JVM is started.
type Command struct {
	// Java is its launcher, Lib the directory with the runner's jars.
	Java, Lib string
	// Args come before the main class: heap and the user's options.
	Args []string
	// Stdout and Stderr get what it prints.
	Stdout, Stderr io.Writer
}

// Process is a running JVM.
type Process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	events *os.File
	write  sync.Mutex
}

// ExitOnOutOfMemory is the exit code of a JVM with -XX:+ExitOnOutOfMemoryError.
const ExitOnOutOfMemory = 3

// Start starts the JVM. Its configuration goes through standard input, never through its command line, where every
// process of the machine could read it.
func Start(c Command, settings Settings) (*Process, error) {
	// The class data archive is used only where the class path is, as a text, the one that it was made for.
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
	args = append(args, c.Args...)
	jars, err := filepath.Glob(filepath.Join(lib, "*.jar"))
	if err != nil || len(jars) == 0 {
		read.Close()
		return nil, fmt.Errorf("start the JVM: there are no jars in %s", lib)
	}
	args = append(args, "-cp", strings.Join(jars, ":"), "dev.weir.connect.Main")
	cmd := exec.Command(c.Java, args...)
	cmd.Stdout, cmd.Stderr = c.Stdout, c.Stderr
	cmd.ExtraFiles = []*os.File{write}
	// A group of its own: the terminal's Ctrl-C is for the entry point, which then stops the JVM in good order.
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
	p := &Process{cmd: cmd, stdin: stdin, events: read}
	if err := p.send(settings); err != nil {
		p.Kill()
		return p, nil // Its end tells more than the broken pipe.
	}
	return p, nil
}

// Events reads until the JVM is gone.
func (p *Process) Events(handle func(Event)) error {
	defer p.events.Close()
	return ReadEvents(p.events, handle)
}

// Stop asks the JVM to stop in good order.
func (p *Process) Stop() error { return p.send(map[string]any{"command": "stop"}) }

// AskMetrics asks for its metrics; the answer is an event with the same id.
func (p *Process) AskMetrics(id int64) error {
	return p.send(map[string]any{"command": "metrics", "id": id})
}

// Kill ends it at once.
func (p *Process) Kill() { _ = p.cmd.Process.Kill() }

// Pid is its process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Wait returns how it ended. It must not be called before Events has returned.
func (p *Process) Wait() (End, error) {
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return End{}, fmt.Errorf("wait for the JVM: %w", err)
	}
	end := End{Code: p.cmd.ProcessState.ExitCode()}
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		end.Signal = status.Signal()
	}
	return end, nil
}

// End is how the JVM ended: with a code, or by a signal.
type End struct {
	Code   int
	Signal syscall.Signal
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
