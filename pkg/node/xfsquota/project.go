//go:build linux

package xfsquota

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
)

// Requests of ioctl, see linux/fs.h.
const (
	getAttributes = 0x801c581f
	setAttributes = 0x401c5820
	inheritFlag   = 0x200
)

// attributes is struct fsxattr.
type attributes struct {
	flags, extentSize, extents, project, copyOnWriteExtentSize uint32
	_                                                          [8]byte
}

// Project is the project of a file or directory.
type Project struct {
	// ID of the project; 0 for none.
	ID uint32
	// Inherit is true if new entries of the directory get the project.
	Inherit bool
}

// ProjectOf returns the project of an open file or directory.
func ProjectOf(file *os.File) (Project, error) {
	a, err := read(file)
	return Project{ID: a.project, Inherit: a.flags&inheritFlag != 0}, err
}

// SetProject sets the project of an open file or directory. It writes only if the project differs.
func SetProject(file *os.File, want Project) error {
	a, err := read(file)
	if err != nil {
		return err
	}
	if a.project == want.ID && (a.flags&inheritFlag != 0) == want.Inherit {
		return nil
	}
	a.project = want.ID
	a.flags &^= inheritFlag
	if want.Inherit {
		a.flags |= inheritFlag
	}
	return call(file, "set the project of", setAttributes, &a)
}

func read(file *os.File) (attributes, error) {
	var a attributes
	return a, call(file, "read the project of", getAttributes, &a)
}

func call(file *os.File, op string, request uintptr, a *attributes) error {
	err := node.Control(file, func(fd int) error {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(a)))
		switch errno {
		case 0:
			return nil
		case unix.ENOTTY, unix.EOPNOTSUPP:
			return errors.Join(ErrUnsupported, errno)
		}
		return errno
	})
	if err != nil {
		return &fs.PathError{Op: op, Path: file.Name(), Err: err}
	}
	return nil
}

// Assign assigns a directory and everything in it to a project. New entries inherit it. Symbolic links and special
// files have no data and are left out; a mount point inside fails with EXDEV. It can be repeated.
func Assign(ctx context.Context, dir *node.Dir, project uint32) error {
	if err := SetProject(dir.File(), Project{ID: project, Inherit: true}); err != nil {
		return err
	}
	entries, err := dir.Entries(-1)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := assign(ctx, dir, entry, project); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func assign(ctx context.Context, dir *node.Dir, entry fs.DirEntry, project uint32) error {
	switch {
	case entry.IsDir():
		inner, err := dir.OpenDir(entry.Name())
		if err != nil {
			return err
		}
		return errors.Join(Assign(ctx, inner, project), inner.Close())
	case entry.Type().IsRegular():
		file, err := dir.Open(entry.Name(), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		return errors.Join(SetProject(file, Project{ID: project}), file.Close())
	}
	return nil
}
