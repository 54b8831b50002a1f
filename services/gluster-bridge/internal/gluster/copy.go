//go:build linux

package gluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// Copy copies a directory into another one, with owners, modes, times, extended attributes, links and holes. It can be
// repeated after an interruption: a file that has the size and the modification time of its source is not copied again.
// Files that disappear while they are copied are left out. report is called after each file and each 64 MiB.
func (t *Tree) Copy(ctx context.Context, from, to string, report func(decide.Progress) error) error {
	source, err := t.root.OpenDir(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	if err := t.root.MkdirAll(path.Dir(to), 0o700); err != nil {
		return err
	}
	if err := t.root.Mkdir(to, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	target, err := t.root.OpenDir(to)
	if err != nil {
		return err
	}
	defer func() { _ = target.Close() }()
	c := copier{ctx: ctx, target: target, report: report, links: map[uint64]string{}}
	return c.directory(source, target, "")
}

type copier struct {
	ctx    context.Context //nolint:containedctx // of one call of Copy
	target *node.Dir
	report func(decide.Progress) error
	done   decide.Progress
	// links are the paths of files with several links, by the inode of the source.
	links map[uint64]string
}

const (
	copyBuffer  = 1 << 20
	reportBytes = 64 << 20
)

func (c *copier) directory(from, to *node.Dir, name string) error {
	entries, err := from.Entries(-1)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := c.ctx.Err(); err != nil {
			return context.Cause(c.ctx)
		}
		if err := c.entry(from, to, entry.Name(), path.Join(name, entry.Name())); err != nil {
			return err
		}
	}
	var stat unix.Stat_t
	if err := from.Control(func(fd int) error { return unix.Fstat(fd, &stat) }); err != nil {
		return fmt.Errorf("stat %s: %w", name, err)
	}
	// The times last: each new entry changes them.
	return errors.Join(c.attributes(from.File(), to.File(), stat), to.Sync())
}

// entry copies one entry; name is its path in the tree.
func (c *copier) entry(from, to *node.Dir, base, name string) error {
	stat, err := from.Stat(base)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		err = c.subdirectory(from, to, base, name)
	case unix.S_IFREG:
		err = c.regular(from, to, base, name, stat)
	default:
		err = c.special(from, to, base, stat)
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	c.done.Files++
	return c.report(c.done)
}

func (c *copier) subdirectory(from, to *node.Dir, base, name string) error {
	source, err := from.OpenDir(base)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	if err := to.Mkdir(base, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	target, err := to.OpenDir(base)
	if err != nil {
		return err
	}
	defer func() { _ = target.Close() }()
	return c.directory(source, target, name)
}

func (c *copier) regular(from, to *node.Dir, base, name string, stat unix.Stat_t) error {
	if stat.Nlink > 1 {
		if first, found := c.links[stat.Ino]; found {
			return c.link(to, first, base)
		}
		c.links[stat.Ino] = name
	}
	if copied, err := to.Stat(base); err == nil && copied.Mode&unix.S_IFMT == unix.S_IFREG &&
		copied.Size == stat.Size && copied.Mtim == stat.Mtim {
		c.done.Bytes += stat.Blocks * 512
		return nil
	}
	source, err := from.Open(base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	target, err := to.Open(base, unix.O_RDWR|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	err = c.content(source, target, stat.Size)
	if err == nil {
		err = errors.Join(c.attributes(source, target, stat), target.Sync())
	}
	return errors.Join(err, target.Close())
}

// content copies the data of a file, but not its holes.
func (c *copier) content(source, target *os.File, size int64) error {
	buffer := make([]byte, min(copyBuffer, max(size, 1)))
	for offset := int64(0); offset < size; {
		start, err := seek(source, offset, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if err != nil {
			return err
		}
		end, err := seek(source, start, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if err := c.extent(source, target, buffer, start, min(end, size)); err != nil {
			return err
		}
		offset = end
	}
	return target.Truncate(size)
}

func (c *copier) extent(source, target *os.File, buffer []byte, start, end int64) error {
	for offset := start; offset < end; {
		if err := c.ctx.Err(); err != nil {
			return context.Cause(c.ctx)
		}
		n, err := source.ReadAt(buffer[:min(int64(len(buffer)), end-offset)], offset)
		if n > 0 {
			if _, err := target.WriteAt(buffer[:n], offset); err != nil {
				return err
			}
			before := c.done.Bytes / reportBytes
			c.done.Bytes += int64(n)
			offset += int64(n)
			if c.done.Bytes/reportBytes != before {
				if err := c.report(c.done); err != nil {
					return err
				}
			}
		}
		if errors.Is(err, io.EOF) {
			return nil // The source was truncated.
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func seek(file *os.File, offset int64, whence int) (at int64, err error) {
	err = node.Control(file, func(fd int) error {
		at, err = unix.Seek(fd, offset, whence)
		return err
	})
	return at, err
}

// link creates another link to a file that is already copied.
func (c *copier) link(to *node.Dir, first, base string) error {
	return c.target.Control(func(root int) error {
		return to.Control(func(dir int) error {
			err := unix.Linkat(root, first, dir, base, 0)
			if errors.Is(err, unix.EEXIST) {
				return nil
			}
			return err
		})
	})
}

// special copies a symbolic link, a named pipe, a socket or a device.
func (c *copier) special(from, to *node.Dir, base string, stat unix.Stat_t) error {
	return from.Control(func(source int) error {
		return to.Control(func(target int) error {
			var err error
			if stat.Mode&unix.S_IFMT == unix.S_IFLNK {
				buffer := make([]byte, unix.PathMax)
				n, readErr := unix.Readlinkat(source, base, buffer)
				if readErr != nil {
					return readErr
				}
				err = unix.Symlinkat(string(buffer[:n]), target, base)
			} else if err = unix.Mknodat(target, base, stat.Mode, int(stat.Rdev)); err == nil {
				err = unix.Fchmodat(target, base, stat.Mode&0o7777, 0)
			}
			if err != nil && !errors.Is(err, unix.EEXIST) {
				return err
			}
			err = unix.Fchownat(target, base, int(stat.Uid), int(stat.Gid), unix.AT_SYMLINK_NOFOLLOW)
			return errors.Join(err, unix.UtimesNanoAt(target, base, []unix.Timespec{stat.Atim, stat.Mtim},
				unix.AT_SYMLINK_NOFOLLOW))
		})
	})
}

// attributes copies the owner, the mode, the extended attributes of users and the times.
func (c *copier) attributes(source, target *os.File, stat unix.Stat_t) error {
	return node.Control(target, func(to int) error {
		// The owner first: a change of the owner clears the bits setuid and setgid.
		if err := unix.Fchown(to, int(stat.Uid), int(stat.Gid)); err != nil {
			return err
		}
		if err := unix.Fchmod(to, stat.Mode&0o7777); err != nil {
			return err
		}
		if err := node.Control(source, func(from int) error { return copyXattrs(from, to) }); err != nil {
			return err
		}
		return unix.UtimesNanoAt(to, "", []unix.Timespec{stat.Atim, stat.Mtim}, unix.AT_EMPTY_PATH)
	})
}

func copyXattrs(from, to int) error {
	names := make([]byte, 64<<10)
	n, err := unix.Flistxattr(from, names)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(string(names[:n]), "\x00") {
		if !strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "system.posix_acl_") {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Fgetxattr(from, name, value)
		if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
			continue
		}
		if err != nil {
			return err
		}
		if err := unix.Fsetxattr(to, name, value[:n], 0); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}
