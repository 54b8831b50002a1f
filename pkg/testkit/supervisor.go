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

// supervisor is the client of the supervisor process (see binaries/supervisor), which starts the components and kills
// them when this process exits.
type supervisor struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	dir   string

	mu       sync.Mutex
	pids     map[string]int
	exited   map[string]chan struct{}
	reasons  map[string]string
	stopping bool
}

func startSupervisor(program, dir string) (*supervisor, error) {
	log, err := os.Create(filepath.Join(dir, "supervisor.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s := &supervisor{dir: dir, pids: map[string]int{}, exited: map[string]chan struct{}{}, reasons: map[string]string{}}
	s.cmd = exec.Command(program, dir)
	s.cmd.Stderr = log
	// In its own session the supervisor does not receive Ctrl-C from the terminal. It exits after this process.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go s.receive(stdout)
	return s, nil
}

func (s *supervisor) receive(stdout io.Reader) {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		var e struct {
			Name   string
			PID    int
			Error  string
			Exited bool
		}
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		s.mu.Lock()
		switch {
		case e.Exited:
			delete(s.pids, e.Name)
			s.reasons[e.Name] = e.Error
			close(s.exited[e.Name])
		case e.PID != 0:
			s.pids[e.Name] = e.PID
		}
		s.mu.Unlock()
	}
}

func (s *supervisor) start(name, program string, args []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exited[name] = make(chan struct{})
	return s.send(map[string]any{"start": name, "path": program, "args": args, "log": s.log(name)})
}

func (s *supervisor) signal(name string, sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.send(map[string]any{"kill": name, "signal": int(sig)})
}

func (s *supervisor) send(request any) error {
	line, err := json.Marshal(request)
	if err == nil {
		_, err = s.stdin.Write(append(line, '\n'))
	}
	return err
}

// err returns an error if a component exited although stop was not called. The error contains the end of its log.
func (s *supervisor) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil
	}
	for name, exited := range s.exited {
		select {
		case <-exited:
			return fmt.Errorf("%s exited: %s\n%s", name, s.reasons[name], logTail(s.log(name), 15))
		default:
		}
	}
	return nil
}

func (s *supervisor) log(name string) string { return filepath.Join(s.dir, name+".log") }

// stop kills all components, removes the directory, and returns when the supervisor has exited.
func (s *supervisor) stop() error {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	if err := s.stdin.Close(); err != nil {
		return err
	}
	return s.cmd.Wait()
}

func logTail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
