package testkit

import (
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	dirPrefix = "weir-testkit-"
	// minFree is the free space for a directory in memory. A control plane with thousands of objects needs a few
	// hundred MiB.
	minFree = 1 << 30
)

// makeDir creates a directory, in memory if there is space, and removes the directories of killed supervisors.
func makeDir() (string, error) {
	parent := os.TempDir()
	if shm := "/dev/shm"; freeSpace(shm) > minFree && unix.Access(shm, unix.W_OK) == nil {
		parent = shm
	}
	sweep(parent)
	return os.MkdirTemp(parent, dirPrefix)
}

func freeSpace(dir string) uint64 {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return 0
	}
	return s.Bavail * uint64(s.Bsize)
}

// sweep removes directories whose lock is free. It skips new ones, which may not be locked yet.
func sweep(parent string) {
	dirs, _ := filepath.Glob(filepath.Join(parent, dirPrefix+"*"))
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		lock, err := os.Open(filepath.Join(dir, "lock"))
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(dir)
		}
		lock.Close()
	}
}
