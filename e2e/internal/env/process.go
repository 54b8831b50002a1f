package env

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// stopTimeout is how long a process may take to end in good order.
const stopTimeout = 15 * time.Second

// Process is a program at work. Its output goes to a file.
type Process struct {
	// Log is the path of its output.
	Log   string
	cmd   *exec.Cmd
	ended chan struct{}
	err   error
}

// start runs a program with its output in dir. It ends with this process, however that ends.
func start(dir, program string, args ...string) (*Process, error) {
	name := filepath.Base(program)
	p := &Process{Log: filepath.Join(dir, name+".log"), cmd: exec.Command(program, args...), ended: make(chan struct{})}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// A group of its own: Ctrl-C in the terminal reaches us, and we stop it in good order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithUs(p.cmd.SysProcAttr)
	started := make(chan error, 1)
	go func() {
		// What dieWithUs asks for is tied to the thread that starts the child, so that thread waits for it.
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Fault is nil while the process runs; then it tells how it ended, with the end of its log.
func (p *Process) Fault() error {
	select {
	case <-p.ended:
	default:
		return nil
	}
	how := "exit code 0"
	if p.err != nil {
		how = p.err.Error()
	}
	return fmt.Errorf("%s ended: %s\n%s", filepath.Base(p.cmd.Path), how, p.Tail(15))
}

// Tail is the end of the process's log.
func (p *Process) Tail(lines int) string {
	data, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Stop ends the process, in good order if it does so in time.
func (p *Process) Stop() error {
	if p == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", filepath.Base(p.cmd.Path), err)
	}
	late := time.NewTimer(stopTimeout)
	defer late.Stop()
	select {
	case <-p.ended:
		return nil
	case <-late.C:
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
	return fmt.Errorf("stop %s: still at work after %s, killed", filepath.Base(p.cmd.Path), stopTimeout)
}
