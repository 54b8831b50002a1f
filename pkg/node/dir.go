//go:build linux

package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Dir is an open directory. It stays the same directory if it is renamed, or if its path gets another meaning. Its
// methods can be called from several goroutines at the same time.
type Dir struct {
	file    *os.File
	resolve uint64
}

// Option changes how OpenDir resolves paths.
type Option func(*Dir)

// AllowMounts allows mount points in the paths beneath the directory.
func AllowMounts(d *Dir) { d.resolve &^= unix.RESOLVE_NO_XDEV }

// beneath is how paths beneath a directory are resolved.
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

// OpenDir opens the directory at an absolute path. No element of the path may be a symbolic link.
func OpenDir(name string, options ...Option) (*Dir, error) {
	if !filepath.IsAbs(name) || filepath.Clean(name) != name {
		return nil, fmt.Errorf("open directory %q: the path must be absolute, without . or .. and without a trailing slash",
			name)
	}
	fd, err := openat2(unix.AT_FDCWD, name, unix.O_RDONLY|unix.O_DIRECTORY, 0,
		unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
	if err != nil {
		return nil, &fs.PathError{Op: "open directory", Path: name, Err: err}
	}
	d := &Dir{file: os.NewFile(uintptr(fd), name), resolve: beneath}
	for _, o := range options {
		o(d)
	}
	return d, nil
}

// Close closes the directory.
func (d *Dir) Close() error { return d.file.Close() }

// Name returns the path that the directory was opened with.
func (d *Dir) Name() string { return d.file.Name() }

// File returns the open directory, for system calls. It belongs to the Dir.
func (d *Dir) File() *os.File { return d.file }

// Control calls f with the file descriptor of the directory, which stays open until f returns.
func (d *Dir) Control(f func(fd int) error) error { return Control(d.file, f) }

// Control calls f with the file descriptor of a file, which stays open until f returns.
func Control(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// Open opens the file at a path relative to the directory. flags are those of open(2).
func (d *Dir) Open(name string, flags int, mode fs.FileMode) (*os.File, error) {
	var file *os.File
	err := d.Control(func(dir int) error {
		fd, err := openat2(dir, name, flags, uint64(mode.Perm()), d.resolve)
		if err == nil {
			file = os.NewFile(uintptr(fd), path.Join(d.Name(), name))
		}
		return err
	})
	return file, d.wrap("open", name, err)
}

// OpenDir opens a directory at a path relative to the directory.
func (d *Dir) OpenDir(name string) (*Dir, error) {
	file, err := d.Open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &Dir{file: file, resolve: d.resolve}, nil
}

// Stat returns the status of the entry at a path relative to the directory. If the entry is a symbolic link, the status
// is that of the link. An entry that is a mount point fails with EXDEV.
func (d *Dir) Stat(name string) (unix.Stat_t, error) {
	var stat unix.Stat_t
	err := d.in(name, func(parent int, base string) error {
		fd, err := openat2(parent, base, unix.O_PATH|unix.O_NOFOLLOW, 0, d.resolve&^unix.RESOLVE_NO_SYMLINKS)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		return unix.Fstat(fd, &stat)
	})
	return stat, d.wrap("stat", name, err)
}

// Entries returns at most limit entries of the directory, or all if limit is negative.
func (d *Dir) Entries(limit int) ([]fs.DirEntry, error) {
	// A new file has its own position.
	file, err := d.Open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	entries, err := file.ReadDir(limit)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	return entries, err
}

// Mkdir creates a directory with the given mode, whatever the umask is, and writes its entry to disk.
func (d *Dir) Mkdir(name string, mode fs.FileMode) error {
	return d.mkdir(name, mode, unix.Fsync)
}

// MkdirAll creates a directory and its parents like Mkdir, and writes nothing to disk. File systems with a journal
// write the entries with the next file or directory that is written to disk.
func (d *Dir) MkdirAll(name string, mode fs.FileMode) error {
	if stat, err := d.Stat(name); err == nil && stat.Mode&unix.S_IFMT == unix.S_IFDIR {
		return nil
	}
	built := ""
	for element := range strings.SplitSeq(name, "/") {
		built = path.Join(built, element)
		err := d.mkdir(built, mode, func(int) error { return nil })
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

func (d *Dir) mkdir(name string, mode fs.FileMode, sync func(parent int) error) error {
	err := d.in(name, func(parent int, base string) error {
		if err := unix.Mkdirat(parent, base, uint32(mode.Perm())); err != nil {
			return err
		}
		fd, err := openat2(parent, base, unix.O_RDONLY|unix.O_DIRECTORY, 0, d.resolve)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		if err := setMode(fd, mode); err != nil {
			return err
		}
		return sync(parent)
	})
	return d.wrap("mkdir", name, err)
}

// Rename renames an entry. It fails with EEXIST if the new name exists.
func (d *Dir) Rename(from, to string) error {
	err := d.in(from, func(fromParent int, fromBase string) error {
		return d.in(to, func(toParent int, toBase string) error {
			if err := unix.Renameat2(fromParent, fromBase, toParent, toBase, unix.RENAME_NOREPLACE); err != nil {
				return err
			}
			return errors.Join(unix.Fsync(toParent), unix.Fsync(fromParent))
		})
	})
	return d.wrap("rename", from+" to "+to, err)
}

// Remove removes a file or an empty directory. It does not follow a symbolic link.
func (d *Dir) Remove(name string) error {
	err := d.in(name, func(parent int, base string) error {
		if err := unlinkat(parent, base); err != nil {
			return err
		}
		return unix.Fsync(parent)
	})
	return d.wrap("remove", name, err)
}

// Sync writes the entries of the directory to disk.
func (d *Dir) Sync() error { return d.file.Sync() }

// Lock locks the directory against other processes that lock it, until the returned function is called or the process
// ends. It fails with EWOULDBLOCK if another process has the lock.
func (d *Dir) Lock() (unlock func() error, err error) {
	file, err := d.Open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	err = Control(file, func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if err != nil {
		_ = file.Close()
		return nil, d.wrap("lock", ".", err)
	}
	return file.Close, nil
}

// in calls f with the open parent directory of a path and the last element of the path.
func (d *Dir) in(name string, f func(parent int, base string) error) error {
	parent, base := path.Split(name)
	if base == "" || base == "." || base == ".." {
		return unix.EINVAL
	}
	return d.Control(func(dir int) error {
		if parent == "" {
			return f(dir, base)
		}
		fd, err := openat2(dir, strings.TrimSuffix(parent, "/"), unix.O_RDONLY|unix.O_DIRECTORY, 0, d.resolve)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		return f(fd, base)
	})
}

func (d *Dir) wrap(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path.Join(d.Name(), name), Err: err}
}

// openat2 is openat2(2). The kernel returns EAGAIN if it cannot rule out that a concurrent rename moved the path out of
// the directory.
func openat2(dir int, name string, flags int, mode, resolve uint64) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: resolve}
	if flags&unix.O_CREAT != 0 {
		how.Mode = mode
	}
	const attempts = 100
	var err error
	for range attempts {
		var fd int
		if fd, err = unix.Openat2(dir, name, &how); err == nil {
			return fd, nil
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return -1, err
}

// unlinkat removes a file or an empty directory.
func unlinkat(dir int, name string) error {
	err := unix.Unlinkat(dir, name, 0)
	if errors.Is(err, unix.EISDIR) {
		err = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	}
	return err
}

// setMode completes the mode of a new file, which the umask can have changed. On a network file system a change that
// changes nothing is expensive.
func setMode(fd int, mode fs.FileMode) error {
	var stat unix.Stat_t
	const permissions = 0o7777
	if err := unix.Fstat(fd, &stat); err != nil || stat.Mode&permissions == unixMode(mode) {
		return err
	}
	return unix.Fchmod(fd, unixMode(mode))
}

// unixMode converts a mode for chmod(2).
func unixMode(mode fs.FileMode) uint32 {
	bits := uint32(mode.Perm())
	if mode&fs.ModeSetuid != 0 {
		bits |= unix.S_ISUID
	}
	if mode&fs.ModeSetgid != 0 {
		bits |= unix.S_ISGID
	}
	if mode&fs.ModeSticky != 0 {
		bits |= unix.S_ISVTX
	}
	return bits
}
