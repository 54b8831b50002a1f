//go:build linux

package node

import (
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Namespace is a mount namespace.
type Namespace struct {
	// ID is the inode number of the namespace.
	ID uint64
	// PID is the id of a process in it.
	PID int
}

// NamespaceOf returns the mount namespace of a process.
func NamespaceOf(pid int) (Namespace, error) {
	var stat unix.Stat_t
	name := fmt.Sprintf("/proc/%d/ns/mnt", pid)
	if err := unix.Stat(name, &stat); err != nil {
		return Namespace{}, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return Namespace{ID: stat.Ino, PID: pid}, nil
}

// MountNamespaces returns the mount namespaces of all processes that the process can see, each one once, in the order
// of their oldest processes. Namespaces without a process are not found.
func MountNamespaces() ([]Namespace, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	var found []Namespace
	seen := map[uint64]bool{}
	for _, pid := range pids {
		// A process that has ended meanwhile, a zombie or a kernel thread has none.
		if n, err := NamespaceOf(pid); err == nil && !seen[n.ID] {
			seen[n.ID] = true
			found = append(found, n)
		}
	}
	return found, nil
}

// Inside is the view of a thread in a mount namespace.
type Inside struct{ proc int }

// Do calls f in the mount namespace, on a thread that does nothing else. Paths in f are those of the namespace.
// Goroutines that f starts are outside of it.
func (n Namespace) Do(f func(*Inside) error) error {
	proc, err := unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: "/proc", Err: err}
	}
	defer func() { _ = unix.Close(proc) }()
	name := fmt.Sprintf("/proc/%d/ns/mnt", n.PID)
	namespace, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: name, Err: err}
	}
	defer func() { _ = unix.Close(namespace) }()
	var stat unix.Stat_t
	if err := unix.Fstat(namespace, &stat); err != nil {
		return &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	if stat.Ino != n.ID {
		// The id belongs to another process now.
		return &fs.PathError{Op: "open", Path: name, Err: unix.ESRCH}
	}
	return onOwnThread(func() error {
		// A thread that shares its root and working directory with others cannot change its mount namespace.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("unshare the working directory: %w", err)
		}
		if err := unix.Setns(namespace, unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("enter the mount namespace of process %d: %w", n.PID, err)
		}
		return f(&Inside{proc})
	})
}

// Mounts returns the mount table of the namespace.
func (i *Inside) Mounts() ([]Mount, error) {
	// The /proc of the namespace may be that of other processes, or hidden.
	fd, err := unix.Openat(i.proc, "thread-self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: "/proc/thread-self/mountinfo", Err: err}
	}
	file := os.NewFile(uintptr(fd), "mountinfo")
	defer func() { _ = file.Close() }()
	return ParseMounts(file)
}

// onOwnThread calls f on a thread that ends afterwards, because f changes its attributes.
func onOwnThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread never ends, and /proc/self describes it. It waits while another one calls f.
			result <- onOwnThread(f)
			runtime.UnlockOSThread()
			return
		}
		result <- f()
	}()
	return <-result
}
