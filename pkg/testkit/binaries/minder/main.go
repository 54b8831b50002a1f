// Command minder starts the processes of one control plane and ends them with its parent.
//
// It reads requests from stdin, one JSON object a line, and writes events to stdout. Stdin is a pipe whose other end only
// the parent holds: however the parent ends, the kernel closes it, and minder kills what it started and removes the directory.
// A program of its own does what neither a signal handler (SIGKILL cannot be handled) nor Pdeathsig alone can (it is tied to the
// starting thread, removes no files, and exists on Linux only), and does not load the test binary a second time.
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
	Name  string `json:"name"`
	PID   int    `json:"pid,omitempty"`
	Error string `json:"error,omitempty"`
	Ended bool   `json:"ended,omitempty"`
}

type minder struct {
	dir      string
	mu       sync.Mutex
	children map[string]*exec.Cmd
	waiting  sync.WaitGroup
	out      *json.Encoder
}

// Children die with the thread that started them (see pdeathsig), so all of them are started by the main thread.
func init() { runtime.LockOSThread() }

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: minder DIRECTORY (requests on stdin)")
		os.Exit(2)
	}
	dir := os.Args[1]
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		// Held until the end: a directory whose lock is free belongs to nobody.
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "minder: lock %s: %v\n", dir, err)
		os.Exit(1)
	}
	m := &minder{dir: dir, children: map[string]*exec.Cmd{}, out: json.NewEncoder(os.Stdout)}
	go m.endOnSignal()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			m.tell(event{Error: err.Error()})
			continue
		}
		if r.Start != "" {
			m.start(r)
		} else {
			m.signal(r.Kill, syscall.Signal(r.Signal))
		}
	}
	m.end()
	runtime.KeepAlive(lock)
}

// endOnSignal also takes SIGPIPE, and ignores it: otherwise the first event after the parent's death would end minder too early.
func (m *minder) endOnSignal() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGPIPE, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	for s := range signals {
		if s != syscall.SIGPIPE {
			m.end()
			os.Exit(0)
		}
	}
}

func (m *minder) end() {
	m.signal("", syscall.SIGKILL)
	m.waiting.Wait()
	remove(m.dir)
}

func (m *minder) start(r request) {
	log, err := os.OpenFile(r.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		m.tell(event{Name: r.Start, Error: err.Error(), Ended: true})
		return
	}
	defer log.Close()
	cmd := exec.Command(r.Path, r.Args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	pdeathsig(cmd.SysProcAttr)
	if err := cmd.Start(); err != nil {
		m.tell(event{Name: r.Start, Error: err.Error(), Ended: true})
		return
	}
	m.mu.Lock()
	m.children[r.Start] = cmd
	m.mu.Unlock()
	m.tell(event{Name: r.Start, PID: cmd.Process.Pid})
	m.waiting.Go(func() {
		err := cmd.Wait()
		m.mu.Lock()
		delete(m.children, r.Start)
		m.mu.Unlock()
		ended := event{Name: r.Start, Ended: true}
		if err != nil {
			ended.Error = err.Error()
		}
		m.tell(ended)
	})
}

// signal reaches one child, or all of them where name is empty. os.Process knows whether a child was reaped, so a
// number that the kernel has given to another process is never signalled.
func (m *minder) signal(name string, s syscall.Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n, child := range m.children {
		if name == "" || n == name {
			_ = child.Process.Signal(s)
		}
	}
}

func (m *minder) tell(e event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// The parent may be gone, and then nobody needs to know.
	_ = m.out.Encode(e)
}

// remove tries again: the kernel may still be writing back what a killed process had open.
func remove(dir string) {
	for range 20 {
		if os.RemoveAll(dir) == nil {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
}
