//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// maxDepth is the depth to which RemoveContents descends, with one open file per level. Deeper directories are moved to
// the top first.
const maxDepth = 64

// batch is the number of entries that are read from a directory at once.
const batch = 1024

// RemoveContents removes everything in the directory and returns the bytes that the removed files used on disk. It does
// not follow symbolic links. It stops at a mount point with EXDEV or EBUSY. It can be called again after an error.
func (d *Dir) RemoveContents(ctx context.Context) (freed int64, err error) {
	r := remover{ctx: ctx, top: d}
	for r.again = true; r.again; {
		r.again = false
		if err := r.remove(d, 0); err != nil {
			return r.freed, err
		}
	}
	return r.freed, d.Sync()
}

type remover struct {
	ctx   context.Context
	top   *Dir
	freed int64
	moved int
	again bool
}

func (r *remover) remove(d *Dir, depth int) error {
	for {
		entries, err := d.Entries(batch)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return nil
		}
		for _, entry := range entries {
			if err := r.ctx.Err(); err != nil {
				return err
			}
			if err := r.entry(d, entry, depth); err != nil && !errors.Is(err, unix.ENOENT) {
				return err
			}
		}
		if depth == 0 && r.again {
			return nil
		}
	}
}

func (r *remover) entry(d *Dir, entry fs.DirEntry, depth int) error {
	if !entry.IsDir() {
		return r.unlink(d, entry.Name())
	}
	if depth == maxDepth {
		return r.raise(d, entry.Name())
	}
	inner, err := d.OpenDir(entry.Name())
	if err != nil {
		return err
	}
	err = r.remove(inner, depth+1)
	if closeErr := inner.Close(); err != nil || closeErr != nil {
		return errors.Join(err, closeErr)
	}
	return r.unlink(d, entry.Name())
}

// unlink removes one entry. Only the last link of a file frees its blocks.
func (r *remover) unlink(d *Dir, name string) error {
	stat, err := d.Stat(name)
	if err != nil {
		return err
	}
	err = d.Control(func(fd int) error { return unlinkat(fd, name) })
	if err == nil && (stat.Nlink <= 1 || stat.Mode&unix.S_IFMT == unix.S_IFDIR) {
		r.freed += stat.Blocks * 512
	}
	return d.wrap("remove", name, err)
}

// raise moves a deep directory to the top, where it is removed later. The names of earlier calls may exist.
func (r *remover) raise(d *Dir, name string) error {
	err := d.Control(func(from int) error {
		return r.top.Control(func(to int) error {
			for {
				r.moved++
				target := fmt.Sprintf(".deep-%d", r.moved)
				err := unix.Renameat2(from, name, to, target, unix.RENAME_NOREPLACE)
				if !errors.Is(err, unix.EEXIST) {
					return err
				}
			}
		})
	})
	r.again = true
	return d.wrap("move", name, err)
}
