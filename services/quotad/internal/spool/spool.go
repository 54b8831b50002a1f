//go:build linux

// Package spool watches the directory of a brick in which gluster-bridge leaves a file for each change of a size.
//
// It watches three directories with inotify: the spool directory and the two above it, which may not exist yet. Unlike
// fanotify it needs no capability, and one directory needs no recursive watch.
package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

// Handler receives what happens in a spool directory.
type Handler struct {
	// Changed receives the name of a file that was written, renamed or removed.
	Changed func(name string)
	// Started is called when the watch has begun.
	Started func()
	// Overflowed is called when events were lost.
	Overflowed func()
}

const events = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_CLOSE_WRITE | unix.IN_DELETE | unix.IN_MOVED_FROM |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

// Watch watches the spool directory of a brick until ctx ends, or until the brick is unmounted or replaced.
func Watch(ctx context.Context, brick string, h Handler) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("inotify_init: %w; raise fs.inotify.max_user_instances", err)
	}
	queue := os.NewFile(uintptr(fd), "inotify")
	defer context.AfterFunc(ctx, func() { _ = queue.Close() })()
	defer func() { _ = queue.Close() }()
	w := &watcher{queue: queue, brick: brick, handler: h}
	if err := w.watch(); err != nil {
		return err
	}
	h.Started()
	buffer := make([]byte, 64<<10)
	for {
		n, err := queue.Read(buffer)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read file events of %s: %w", brick, err)
		}
		ended, err := w.handle(buffer[:n])
		if ended || err != nil {
			return err
		}
	}
}

type watcher struct {
	queue   *os.File
	brick   string
	handler Handler
	// spool is the watch of the spool directory, or 0 if it does not exist; others are those above it.
	spool  int
	others map[int]bool
}

// watch adds the watches. A directory that exists already keeps its watch.
func (w *watcher) watch() error {
	root, err := node.OpenDir(w.brick)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	w.spool, w.others = 0, map[int]bool{}
	for _, name := range []string{".", path.Dir(decide.SpoolRoot), decide.SpoolRoot} {
		dir, err := root.OpenDir(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			return nil
		}
		if err != nil {
			return err
		}
		id, err := w.add(dir)
		_ = dir.Close()
		if err != nil {
			return fmt.Errorf("watch %s: %w", dir.Name(), err)
		}
		if name == decide.SpoolRoot {
			w.spool = id
		} else {
			w.others[id] = true
		}
	}
	return nil
}

// add watches the open directory, whatever its path means by now.
func (w *watcher) add(dir *node.Dir) (id int, err error) {
	err = dir.Control(func(fd int) error {
		return node.Control(w.queue, func(queue int) error {
			id, err = unix.InotifyAddWatch(queue, fmt.Sprintf("/proc/self/fd/%d", fd), events)
			return err
		})
	})
	return id, err
}

// handle handles a buffer of events. ended is true if the brick was unmounted.
func (w *watcher) handle(buffer []byte) (ended bool, err error) {
	for len(buffer) >= unix.SizeofInotifyEvent {
		e := event(buffer)
		if e.size > len(buffer) {
			return false, fmt.Errorf("the kernel returned a truncated file event of %s", w.brick)
		}
		buffer = buffer[e.size:]
		switch {
		case e.mask&unix.IN_Q_OVERFLOW != 0:
			w.handler.Overflowed()
		case e.mask&unix.IN_UNMOUNT != 0:
			return true, nil
		case w.others[e.watch] || e.watch == w.spool && e.mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF) != 0:
			had := w.spool
			if err := w.watch(); err != nil {
				return false, err
			}
			if w.spool != had && w.spool != 0 {
				// Files may have been written before the watch was added.
				w.handler.Overflowed()
			}
		case e.watch == w.spool && e.name != "" && !strings.HasPrefix(e.name, "."):
			w.handler.Changed(e.name)
		}
	}
	return false, nil
}

// inotifyEvent is struct inotify_event with its name.
type inotifyEvent struct {
	watch int
	mask  uint32
	name  string
	size  int
}
