//go:build linux

package kubelet

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// command is the first argument of the processes that become containers.
	command = "weir-kubelet-container"
	// networkFD is the file descriptor of the pod's network namespace.
	networkFD = 3
	// startFailed is the exit code of a container that could not be started.
	startFailed = 128
)

// initialized is true after Init.
var initialized bool

// Init must be called first in TestMain or main. In a process that becomes a container it does not return.
func Init() {
	initialized = true
	if len(os.Args) != 3 || os.Args[1] != command {
		return
	}
	runtime.LockOSThread()
	data, err := os.ReadFile(os.Args[2])
	var s sandbox
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err == nil {
		err = s.enter()
	}
	fmt.Fprintln(os.Stderr, "start the container:", err)
	os.Exit(startFailed)
}

// sandbox is the input of a process that becomes a container. It has its own mount, process, IPC and host name
// namespaces.
type sandbox struct {
	// Root is an empty directory for the root file system.
	Root     string
	Hostname string
	Binds    []bind
	ReadOnly bool
	Dir      string
	User     int
	Group    int
	Groups   []int
	// Keep are the capabilities that the container may have.
	Keep      []int
	Args, Env []string
}

// bind makes the file or directory Source visible at Target.
type bind struct {
	Source, Target string
	ReadOnly       bool
	// Follow makes file systems appear that are mounted below the source later.
	Follow bool
}

// enter prepares the container and executes its program. It returns only errors.
func (s sandbox) enter() error {
	if err := unix.Setns(networkFD, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the network namespace: %w", err)
	}
	unix.CloseOnExec(networkFD)
	if err := unix.Sethostname([]byte(s.Hostname)); err != nil {
		return err
	}
	root, err := s.mountRoot()
	if err != nil {
		return err
	}
	binds := append(devices(), s.Binds...)
	sources := make([]int, len(binds))
	for i, b := range binds {
		if sources[i], err = unix.Open(b.Source, unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("mount %s: open %s: %w", b.Target, b.Source, err)
		}
	}
	// Symbolic links in the targets are those of the container: /var/run leads to its /run, not to that of this machine.
	if err := unix.Chroot(root); err != nil {
		return err
	}
	for i, b := range binds {
		if err := b.mount(sources[i]); err != nil {
			return fmt.Errorf("mount %s: %w", b.Target, err)
		}
	}
	if err := linkStreams(); err != nil {
		return err
	}
	if s.ReadOnly {
		if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("make the root file system read-only: %w", err)
		}
	}
	if err := os.Chdir(s.Dir); err != nil {
		return err
	}
	program, err := s.program()
	if err != nil {
		return err
	}
	if err := s.dropPrivileges(); err != nil {
		return err
	}
	return fmt.Errorf("run %s: %w", program, syscall.Exec(program, s.Args, s.Env))
}

// mountRoot mounts a writable copy of this machine's root file system, with its own /proc, /dev, /tmp and /run, and
// returns its path.
func (s sandbox) mountRoot() (string, error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return "", fmt.Errorf("separate the mounts: %w", err)
	}
	if err := unix.Mount("tmpfs", s.Root, "tmpfs", 0, "mode=0755"); err != nil {
		return "", fmt.Errorf("mount tmpfs: %w", err)
	}
	sub := map[string]string{}
	for _, name := range []string{"upper", "work", "merged"} {
		sub[name] = filepath.Join(s.Root, name)
		if err := os.Mkdir(sub[name], 0o755); err != nil {
			return "", err
		}
	}
	root := sub["merged"]
	options := fmt.Sprintf("lowerdir=/,upperdir=%s,workdir=%s", sub["upper"], sub["work"])
	if err := unix.Mount("overlay", root, "overlay", 0, options); err != nil {
		return "", fmt.Errorf("mount the root file system: %w", err)
	}
	for _, m := range []struct{ kind, target, options string }{
		{"proc", "proc", ""}, {"tmpfs", "dev", "mode=0755"}, {"tmpfs", "tmp", "mode=1777"}, {"tmpfs", "run", "mode=0755"},
	} {
		if err := unix.Mount(m.kind, filepath.Join(root, m.target), m.kind, unix.MS_NOSUID, m.options); err != nil {
			return "", fmt.Errorf("mount /%s: %w", m.target, err)
		}
	}
	if err := unix.Mount("/sys", filepath.Join(root, "sys"), "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return "", fmt.Errorf("mount /sys: %w", err)
	}
	return root, nil
}

// devices returns the devices that every container has.
func devices() []bind {
	var binds []bind
	for _, device := range []string{"null", "zero", "full", "random", "urandom"} {
		binds = append(binds, bind{Source: "/dev/" + device, Target: "/dev/" + device})
	}
	return binds
}

// linkStreams creates the links of /dev that shells and programs expect.
func linkStreams() error {
	if err := os.Mkdir("/dev/shm", 0o1777); err != nil {
		return err
	}
	for name, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, "/dev/"+name); err != nil {
			return err
		}
	}
	return nil
}

// mount creates the target if it does not exist and binds the open source to it.
func (b bind) mount(source int) error {
	defer func() { _ = unix.Close(source) }()
	path := fmt.Sprintf("/proc/self/fd/%d", source)
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		err = os.MkdirAll(b.Target, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(b.Target), 0o755); err == nil {
		var file *os.File
		if file, err = os.OpenFile(b.Target, os.O_CREATE, 0o644); err == nil {
			err = file.Close()
		}
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(path, b.Target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if !b.Follow {
		if err := unix.Mount("", b.Target, "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
	}
	if b.ReadOnly {
		return unix.Mount("", b.Target, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
	}
	return nil
}

// program returns the path of the program, found in the PATH of the container.
func (s sandbox) program() (string, error) {
	if len(s.Args) == 0 {
		return "", errors.New("neither the image nor the container has a command")
	}
	if strings.Contains(s.Args[0], "/") {
		return s.Args[0], nil
	}
	for _, entry := range s.Env {
		directories, isPath := strings.CutPrefix(entry, "PATH=")
		if !isPath {
			continue
		}
		for _, directory := range filepath.SplitList(directories) {
			file := filepath.Join(directory, s.Args[0])
			if info, err := os.Stat(file); err == nil && info.Mode()&0o111 != 0 && !info.IsDir() {
				return file, nil
			}
		}
	}
	return "", fmt.Errorf("%s is not in $PATH of the container", s.Args[0])
}

func (s sandbox) dropPrivileges() error {
	// A program that root executes gets the capabilities of the bounding set, and one of another user gets none.
	for capability := range unix.CAP_LAST_CAP + 1 {
		if slices.Contains(s.Keep, capability) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(capability), 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d: %w", capability, err)
		}
	}
	if err := syscall.Setgroups(s.Groups); err != nil {
		return fmt.Errorf("set the supplementary groups: %w", err)
	}
	if err := syscall.Setgid(s.Group); err != nil {
		return fmt.Errorf("set the group: %w", err)
	}
	if err := syscall.Setuid(s.User); err != nil {
		return fmt.Errorf("set the user: %w", err)
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}
