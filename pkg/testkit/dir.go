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
	// A control plane of some thousand objects needs a few hundred megabytes.
	roomNeeded = 1 << 30
)

// makeDir makes a directory, in memory where there is room for it, and removes those whose supervisor was itself killed.
func makeDir() (string, error) {
	parent := os.TempDir()
	if shm := "/dev/shm"; room(shm) > roomNeeded && unix.Access(shm, unix.W_OK) == nil {
		parent = shm
	}
	sweep(parent)
	return os.MkdirTemp(parent, dirPrefix)
}

func room(dir string) uint64 {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return 0
	}
	return s.Bavail * uint64(s.Bsize)
}

// sweep removes directories whose lock is free. Young ones may be about to be locked.
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
