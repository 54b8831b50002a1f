//go:build linux

// Package descriptions watches the descriptions of directories on a brick. Those of kadalu, deleted ones and those that
// self-heal writes cause no event in the spool directory.
package descriptions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
	"github.com/weir-dev/weir/services/quotad/internal/inotify"
)

// MaxDirectories is the largest number of directories that are watched on a brick. The kernel keeps about 1 KiB for
// each, and some distributions allow 8192 for all processes of a user.
const MaxDirectories = 2048

// ErrTooMany means that a brick has more directories with descriptions than are watched.
var ErrTooMany = fmt.Errorf("it has more than %d directories with descriptions", MaxDirectories)

// Handler receives what happens to descriptions.
type Handler struct {
	// Changed receives the path of a directory whose description was created, written or removed.
	Changed func(path string)
	// Overflowed is called when events were lost. All descriptions may have changed.
	Overflowed func()
}

const events = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_CLOSE_WRITE | unix.IN_DELETE | unix.IN_MOVED_FROM

// Watcher watches the descriptions of a brick.
type Watcher struct {
	brick string
	queue *inotify.Queue
	// names are the names of the watched directories below decide.InfoRoot. That one is ".", the brick is "..".
	names map[int]string
}

// Watch starts to watch the descriptions of a brick. The watcher ends with ctx.
func Watch(ctx context.Context, brick string) (*Watcher, error) {
	queue, err := inotify.New(ctx)
	if err != nil {
		return nil, err
	}
	w := &Watcher{brick: brick, queue: queue, names: map[int]string{}}
	root, err := node.OpenDir(brick)
	if err == nil {
		// The directory of the descriptions may not exist yet.
		if err = w.addOpen(root, ".."); err == nil {
			err = w.add(".", func(string) {})
		}
		err = errors.Join(err, root.Close())
	}
	if err != nil {
		return nil, errors.Join(err, queue.Close())
	}
	return w, nil
}

// Run calls the handler until the context ends, the brick is unmounted, or it has too many directories.
func (w *Watcher) Run(ctx context.Context, h Handler) error {
	defer func() { _ = w.queue.Close() }()
	for {
		read, err := w.queue.Read()
		if err != nil || ctx.Err() != nil {
			return err
		}
		for _, e := range read {
			if e.Mask&unix.IN_UNMOUNT != 0 {
				return nil
			}
			if err := w.handle(e, h); err != nil {
				return err
			}
		}
	}
}

func (w *Watcher) handle(e inotify.Event, h Handler) error {
	if e.Mask&unix.IN_Q_OVERFLOW != 0 {
		h.Overflowed()
		// A directory that was created meanwhile may have no watch.
		return w.add(".", func(string) {})
	}
	directory, known := w.names[e.Watch]
	if e.Mask&unix.IN_IGNORED != 0 {
		delete(w.names, e.Watch)
		return nil
	}
	isDirectory := e.Mask&unix.IN_ISDIR != 0
	switch {
	case !known:
	case directory == "..":
		if isDirectory && e.Name == decide.InfoRoot {
			return w.add(".", h.Changed)
		}
	case isDirectory && e.Mask&unix.IN_MOVED_FROM != 0:
		// The descriptions in it are gone without events of their own.
		h.Overflowed()
	case isDirectory && e.Mask&unix.IN_DELETE == 0:
		return w.add(path.Join(directory, e.Name), h.Changed)
	case !isDirectory:
		changed(path.Join(directory, e.Name), h.Changed)
	}
	return nil
}

// changed calls f with the directory that a file describes, if it describes one.
func changed(file string, f func(string)) {
	if data, err := decide.DataPath(file); err == nil {
		f(data)
	}
}

// add watches a directory below decide.InfoRoot and those in it. It calls found with what the files in them describe.
func (w *Watcher) add(name string, found func(string)) error {
	root, err := node.OpenDir(w.brick)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return w.addBelow(root, name, found)
}

func (w *Watcher) addBelow(root *node.Dir, name string, found func(string)) error {
	above, base := path.Split(name)
	isInfo := decide.IsInfoDirectory(base) && (above == "" || decide.IsInfoDirectory(path.Clean(above)))
	if name != "." && !isInfo {
		return nil
	}
	dir, err := root.OpenDir(path.Join(decide.InfoRoot, name))
	for _, missing := range []error{fs.ErrNotExist, unix.ENOTDIR, unix.ELOOP, unix.EXDEV} {
		if errors.Is(err, missing) {
			return nil
		}
	}
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	// What is created after this causes an event.
	if err := w.addOpen(dir, name); err != nil {
		return err
	}
	entries, err := dir.File().Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		entry = path.Join(name, entry)
		changed(entry, found)
		if err := w.addBelow(root, entry, found); err != nil {
			return err
		}
	}
	return nil
}

func (w *Watcher) addOpen(dir *node.Dir, name string) error {
	id, err := w.queue.Add(dir, events)
	if err != nil {
		return fmt.Errorf("%w; raise fs.inotify.max_user_watches", err)
	}
	w.names[id] = name
	if len(w.names) > MaxDirectories {
		return ErrTooMany
	}
	return nil
}
