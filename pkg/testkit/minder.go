package testkit

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// minder is this side of the process that starts the components and ends them with us (see binaries/minder).
type minder struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	dir   string

	mu       sync.Mutex
	pids     map[string]int
	ended    map[string]chan struct{}
	reasons  map[string]string
	stopping bool
}

func startMinder(program, dir string) (*minder, error) {
	log, err := os.Create(filepath.Join(dir, "minder.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	m := &minder{dir: dir, pids: map[string]int{}, ended: map[string]chan struct{}{}, reasons: map[string]string{}}
	m.cmd = exec.Command(program, dir)
	m.cmd.Stderr = log
	// A session of its own: Ctrl-C in the terminal reaches us, and minder only when we have gone.
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if m.stdin, err = m.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := m.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	go m.listen(stdout)
	return m, nil
}

func (m *minder) listen(stdout io.Reader) {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		var e struct {
			Name  string
			PID   int
			Error string
			Ended bool
		}
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		m.mu.Lock()
		switch {
		case e.Ended:
			delete(m.pids, e.Name)
			m.reasons[e.Name] = e.Error
			close(m.ended[e.Name])
		case e.PID != 0:
			m.pids[e.Name] = e.PID
		}
		m.mu.Unlock()
	}
}

func (m *minder) start(name, program string, args []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended[name] = make(chan struct{})
	return m.send(map[string]any{"start": name, "path": program, "args": args, "log": m.log(name)})
}

func (m *minder) signal(name string, s syscall.Signal) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.send(map[string]any{"kill": name, "signal": int(s)})
}

func (m *minder) send(request any) error {
	line, err := json.Marshal(request)
	if err == nil {
		_, err = m.stdin.Write(append(line, '\n'))
	}
	return err
}

// fault tells which component has ended though nobody asked for it, with the end of its log.
func (m *minder) fault() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopping {
		return nil
	}
	for name, ended := range m.ended {
		select {
		case <-ended:
			return fmt.Errorf("%s ended: %s\n%s", name, m.reasons[name], logTail(m.log(name), 15))
		default:
		}
	}
	return nil
}

func (m *minder) log(name string) string { return filepath.Join(m.dir, name+".log") }

// stop ends all components, removes the directory and waits until that is done.
func (m *minder) stop() error {
	m.mu.Lock()
	m.stopping = true
	m.mu.Unlock()
	if err := m.stdin.Close(); err != nil {
		return err
	}
	return m.cmd.Wait()
}

func logTail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
