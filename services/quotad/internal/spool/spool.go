//go:build linux

// Package spool watches the directory of a brick in which gluster-bridge leaves a file for each change of a size.
//
// It watches three directories with inotify: the spool directory and the two above it, which may not exist yet. One
// directory needs no recursive watch, and files that applications create on the brick cause no event.
package spool

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
	"github.com/weir-dev/weir/services/quotad/internal/inotify"
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
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF

// Watch watches the spool directory of a brick until ctx ends, or until the brick is unmounted or replaced.
func Watch(ctx context.Context, brick string, h Handler) error {
	queue, err := inotify.New(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = queue.Close() }()
	w := &watcher{queue: queue, brick: brick, handler: h}
	// What was written before is found by a check.
	if err := w.watch(func(string) {}); err != nil {
		return err
	}
	h.Started()
	for {
		read, err := queue.Read()
		if err != nil || ctx.Err() != nil {
			return err
		}
		ended, err := w.handle(read)
		if ended || err != nil {
			return err
		}
	}
}

type watcher struct {
	queue   *inotify.Queue
	brick   string
	handler Handler
	// spool is the watch of the spool directory, or 0 if it does not exist; others are those above it.
	spool  int
	others map[int]bool
}

// watch adds the watches. A directory that exists already keeps its watch. In a new spool directory, files may have
// been written before it was watched: found is called with them.
func (w *watcher) watch(found func(name string)) error {
	root, err := node.OpenDir(w.brick)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	had := w.spool
	w.spool, w.others = 0, map[int]bool{}
	for _, name := range []string{".", path.Dir(decide.SpoolRoot), decide.SpoolRoot} {
		dir, err := root.OpenDir(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			return nil
		}
		if err != nil {
			return err
		}
		id, err := w.queue.Add(dir, events)
		var names []string
		if err == nil && name == decide.SpoolRoot && id != had {
			names, err = dir.File().Readdirnames(-1)
		}
		_ = dir.Close()
		if err != nil {
			return err
		}
		if name != decide.SpoolRoot {
			w.others[id] = true
			continue
		}
		w.spool = id
		for _, file := range names {
			found(file)
		}
	}
	return nil
}

// handle handles events. ended is true if the brick was unmounted.
func (w *watcher) handle(read []inotify.Event) (ended bool, err error) {
	for _, e := range read {
		switch {
		case e.Mask&unix.IN_Q_OVERFLOW != 0:
			w.handler.Overflowed()
		case e.Mask&unix.IN_UNMOUNT != 0:
			return true, nil
		case w.others[e.Watch] || e.Watch == w.spool && e.Mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF) != 0:
			if err := w.watch(w.changed); err != nil {
				return false, err
			}
		case e.Watch == w.spool:
			w.changed(e.Name)
		}
	}
	return false, nil
}

// changed reports a file, unless it is a temporary one.
func (w *watcher) changed(name string) {
	if name != "" && !strings.HasPrefix(name, ".") {
		w.handler.Changed(name)
	}
}
