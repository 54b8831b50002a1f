// Command supervisor starts the processes of one control plane and kills them when its parent process exits.
//
// It reads requests from stdin, one JSON object per line, and writes events to stdout. Stdin is a pipe. Only the parent
// holds the other end, so the kernel closes it whenever the parent exits, even after SIGKILL. The supervisor then kills
// the processes it started and removes the directory. A signal handler in the parent cannot do this, because SIGKILL
// cannot be handled. Pdeathsig alone is not enough: it depends on the thread that started the child, removes no files,
// and exists only on Linux.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

type request struct {
	Start  string   `json:"start,omitempty"`
	Kill   string   `json:"kill,omitempty"`
	Path   string   `json:"path,omitempty"`
	Args   []string `json:"args,omitempty"`
	Log    string   `json:"log,omitempty"`
	Signal int      `json:"signal,omitempty"`
}

type event struct {
	Name   string `json:"name"`
	PID    int    `json:"pid,omitempty"`
	Error  string `json:"error,omitempty"`
	Exited bool   `json:"exited,omitempty"`
}

type supervisor struct {
	dir      string
	mu       sync.Mutex
	children map[string]*exec.Cmd
	running  sync.WaitGroup
	out      *json.Encoder
}

// The kernel kills a child when the thread that started it exits (see setParentDeathSignal), so the main thread starts
// all children.
func init() { runtime.LockOSThread() }

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: supervisor DIRECTORY (reads requests from stdin)")
		os.Exit(2)
	}
	dir := os.Args[1]
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		// The lock is held until exit. Other processes remove directories whose lock is free.
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "supervisor: lock %s: %v\n", dir, err)
		os.Exit(1)
	}
	s := &supervisor{dir: dir, children: map[string]*exec.Cmd{}, out: json.NewEncoder(os.Stdout)}
	go s.shutdownOnSignal()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			s.send(event{Error: err.Error()})
			continue
		}
		if r.Start != "" {
			s.start(r)
		} else {
			s.signal(r.Kill, syscall.Signal(r.Signal))
		}
	}
	s.shutdown()
	runtime.KeepAlive(lock)
}

// shutdownOnSignal also receives SIGPIPE and ignores it. Otherwise the first event after the parent's exit would end
// the supervisor before it has killed its children.
func (s *supervisor) shutdownOnSignal() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGPIPE, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	for received := range signals {
		if received != syscall.SIGPIPE {
			s.shutdown()
			os.Exit(0)
		}
	}
}

func (s *supervisor) shutdown() {
	s.signal("", syscall.SIGKILL)
	s.running.Wait()
	remove(s.dir)
}

func (s *supervisor) start(r request) {
	log, err := os.OpenFile(r.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.send(event{Name: r.Start, Error: err.Error(), Exited: true})
		return
	}
	defer log.Close()
	cmd := exec.Command(r.Path, r.Args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	setParentDeathSignal(cmd.SysProcAttr)
	if err := cmd.Start(); err != nil {
		s.send(event{Name: r.Start, Error: err.Error(), Exited: true})
		return
	}
	s.mu.Lock()
	s.children[r.Start] = cmd
	s.mu.Unlock()
	s.send(event{Name: r.Start, PID: cmd.Process.Pid})
	s.running.Go(func() {
		err := cmd.Wait()
		s.mu.Lock()
		delete(s.children, r.Start)
		s.mu.Unlock()
		exited := event{Name: r.Start, Exited: true}
		if err != nil {
			exited.Error = err.Error()
		}
		s.send(exited)
	})
}

// signal sends sig to one child, or to all children if name is empty. os.Process knows whether a child was reaped, so
// the signal never reaches another process that reuses the process ID.
func (s *supervisor) signal(name string, sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, child := range s.children {
		if name == "" || n == name {
			_ = child.Process.Signal(sig)
		}
	}
}

func (s *supervisor) send(e event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The error is ignored: the parent may have exited.
	_ = s.out.Encode(e)
}

// remove retries, because the kernel may still write the open files of a killed process.
func remove(dir string) {
	for range 20 {
		if os.RemoveAll(dir) == nil {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
}
