package env

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/weir-dev/weir/pkg/testkit/process"
)

// stopTimeout is the time between SIGTERM and SIGKILL.
const stopTimeout = 15 * time.Second

// Process is a running program. Its output goes to a file.
type Process struct {
	// Log is the path of the output file.
	Log   string
	name  string
	cmd   *exec.Cmd
	ended chan struct{}
	err   error
}

// start runs a program and writes its output to the file NAME.log in dir. The kernel kills the program when this
// process dies.
func start(dir, name, program string, args ...string) (*Process, error) {
	p := &Process{
		Log: filepath.Join(dir, name+".log"), name: name, cmd: exec.Command(program, args...), ended: make(chan struct{}),
	}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// In its own process group it does not receive Ctrl-C from the terminal: Stop ends it gracefully.
	if err := process.Start(p.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// PID returns the process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Err returns nil while the process runs. After it has ended, it returns an error with the exit status and the end
// of the log.
func (p *Process) Err() error {
	select {
	case <-p.ended:
	default:
		return nil
	}
	status := "exit code 0"
	if p.err != nil {
		status = p.err.Error()
	}
	return fmt.Errorf("%s ended: %s\n%s", p.name, status, p.Tail(15))
}

// Tail returns the last lines of the log.
func (p *Process) Tail(lines int) string {
	data, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Stop sends SIGTERM, and SIGKILL after stopTimeout. It does nothing on a nil Process.
func (p *Process) Stop() error {
	if p == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-p.ended:
		return nil
	case <-timeout.C:
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
	return fmt.Errorf("stop %s: still running %s after SIGTERM, killed", p.name, stopTimeout)
}
