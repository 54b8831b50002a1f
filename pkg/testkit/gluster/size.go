//go:build linux

package gluster

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Size is the size of a directory that clients see, in bytes.
func Size(directory string) (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(directory, &fs); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: directory, Err: err}
	}
	return int64(fs.Blocks) * fs.Bsize, nil //nolint:gosec // sizes of test data
}

// Fill writes to a new file until the file system is full, and returns the number of bytes that are on the bricks. The
// test fails if 60 MiB are accepted.
func Fill(t testing.TB, file string) (total int) {
	t.Helper()
	out, err := os.Create(file)
	fatal(t, err)
	defer func() { _ = out.Close() }()
	const most, block = 60 << 20, 1 << 18
	for err == nil && total < most {
		if _, err = out.Write(make([]byte, block)); err == nil {
			err = out.Sync()
		}
		if err == nil {
			total += block
		}
	}
	if !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT) {
		t.Fatalf("%d bytes were accepted: %v", total, err)
	}
	return total
}
