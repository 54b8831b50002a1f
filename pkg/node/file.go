//go:build linux

package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// ErrNotRegular means that an entry is not a regular file.
var ErrNotRegular = errors.New("not a regular file")

// ErrTooLarge means that a file is larger than the limit of ReadFile.
var ErrTooLarge = errors.New("file is too large")

// WriteFile replaces a file. After a crash the file has either its old or its new content. The new content is written
// to .<name>.tmp first; WriteFile removes a file of that name.
func (d *Dir) WriteFile(name string, data []byte, mode fs.FileMode) error {
	parent, base := path.Split(name)
	dir := d
	if parent != "" {
		opened, err := d.OpenDir(path.Clean(parent))
		if err != nil {
			return err
		}
		defer func() { _ = opened.Close() }()
		dir = opened
	}
	temporary := "." + base + ".tmp"
	err := dir.Control(func(fd int) error {
		err := dir.create(temporary, data, mode)
		if errors.Is(err, fs.ErrExist) {
			// An interrupted call has left it, or another program.
			if err := unlinkat(fd, temporary); err != nil && !errors.Is(err, unix.ENOENT) {
				return err
			}
			err = dir.create(temporary, data, mode)
		}
		if err != nil {
			return errors.Join(err, ignoreMissing(unlinkat(fd, temporary)))
		}
		if err := unix.Renameat(fd, temporary, fd, base); err != nil {
			return errors.Join(err, ignoreMissing(unlinkat(fd, temporary)))
		}
		return unix.Fsync(fd)
	})
	return d.wrap("write", name, err)
}

// create writes a new file to disk.
func (d *Dir) create(name string, data []byte, mode fs.FileMode) error {
	file, err := d.Open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, mode)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	err = errors.Join(err, Control(file, func(fd int) error { return setMode(fd, mode) }))
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// ReadFile reads a regular file of at most limit bytes. It does not block on a named pipe.
func (d *Dir) ReadFile(name string, limit int64) ([]byte, error) {
	stat, err := d.Stat(name)
	if err != nil {
		return nil, err
	}
	// A device may act when it is opened. The second check covers a file that is replaced in between.
	if err := regular(stat); err != nil {
		return nil, d.wrap("read", name, err)
	}
	file, err := d.Open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	err = Control(file, func(fd int) error {
		if err := unix.Fstat(fd, &stat); err != nil {
			return err
		}
		return regular(stat)
	})
	if err != nil {
		return nil, d.wrap("read", name, err)
	}
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = d.wrap("read", name, fmt.Errorf("%w: it has more than %d bytes", ErrTooLarge, limit))
	}
	return data, err
}

func regular(stat unix.Stat_t) error {
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return nil
	case unix.S_IFLNK:
		return unix.ELOOP
	}
	return ErrNotRegular
}

// ProbeRead reads the start of a regular file from the device of its file system, not from the page cache. A device
// that has failed returns EIO. It reads nothing if the file system has no direct I/O.
func (d *Dir) ProbeRead(name string) error {
	file, err := d.Open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	// Direct I/O needs an aligned buffer; memory from mmap is aligned to pages.
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return d.wrap("map memory to read", name, err)
	}
	defer func() { _ = unix.Munmap(page) }()
	_, err = file.ReadAt(page, 0)
	if errors.Is(err, io.EOF) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

// ignoreMissing returns nil for an error of a file that does not exist.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
