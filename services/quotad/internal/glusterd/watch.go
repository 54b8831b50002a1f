//go:build linux

package glusterd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/pkg/timer"
	"github.com/weir-dev/weir/services/quotad/internal/inotify"
)

const (
	// ended are the events after which a directory is not watched any more.
	ended = unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_UNMOUNT | unix.IN_IGNORED
	// changes are the events of a change. A file that is being written counts when it is closed.
	changes = unix.IN_CREATE | unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE
	// settle is the time after a change in which more are expected: glusterd writes several files.
	settle = 100 * time.Millisecond
)

// Watch calls changed when it watches the directory of glusterd, and after each change of what Read reads, until ctx
// ends or the directory is replaced.
func Watch(ctx context.Context, dir string, changed func()) error {
	queue, err := inotify.New(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = queue.Close() }()
	for {
		w, err := watch(queue, dir)
		if err != nil {
			return err
		}
		changed()
		if err := w.wait(queue); err != nil || ctx.Err() != nil {
			return err
		}
		if !timer.Sleep(ctx, settle) {
			return nil
		}
	}
}

// watched are the directories that are watched.
type watched struct {
	root int
	// names are the names of interest of each directory. All are if there are none.
	names map[int][]string
}

// watch watches the directories that exist.
func watch(queue *inotify.Queue, dir string) (watched, error) {
	w := watched{names: map[int][]string{}}
	root, err := node.OpenDir(dir, node.AllowMounts)
	if err != nil {
		return w, fmt.Errorf("watch the files of glusterd: %w", err)
	}
	defer func() { _ = root.Close() }()
	add := func(name string, interest ...string) (err error) {
		opened, err := root.OpenDir(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			return nil
		}
		if err != nil {
			return err
		}
		defer func() { _ = opened.Close() }()
		id, err := queue.Add(opened, changes|ended&^unix.IN_UNMOUNT&^unix.IN_IGNORED)
		if err != nil {
			return err
		}
		if name == "." {
			w.root = id
		}
		w.names[id] = interest
		return nil
	}
	if err := errors.Join(add(".", "glusterd.info", managedFile, "vols"), add("vols")); err != nil {
		return w, err
	}
	vols, err := root.OpenDir("vols")
	if errors.Is(err, fs.ErrNotExist) {
		return w, nil
	}
	if err != nil {
		return w, err
	}
	defer func() { _ = vols.Close() }()
	entries, err := vols.Entries(-1)
	if err != nil {
		return w, err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		volume := filepath.Join("vols", entry.Name())
		if err := errors.Join(add(volume, "info", "bricks"), add(filepath.Join(volume, "bricks"))); err != nil {
			return w, err
		}
	}
	return w, nil
}

// errReplaced means that another directory may have the name of the watched one.
var errReplaced = errors.New("the directory of glusterd was moved, removed or unmounted")

// wait waits for a change. It returns nil when the context of the queue has ended.
func (w watched) wait(queue *inotify.Queue) error {
	for {
		events, err := queue.Read()
		if err != nil || events == nil {
			return err
		}
		isChange := false
		for _, e := range events {
			switch {
			case e.Watch == w.root && e.Mask&ended != 0:
				return errReplaced
			case e.Mask&(unix.IN_Q_OVERFLOW|ended) != 0:
				isChange = true
			default:
				isChange = isChange || w.isOfInterest(e)
			}
		}
		if isChange {
			return nil
		}
	}
}

// isOfInterest reports whether an event is about a file or directory that Read reads. Temporary files are renamed.
func (w watched) isOfInterest(e inotify.Event) bool {
	names := w.names[e.Watch]
	return (len(names) == 0 || slices.Contains(names, e.Name)) && !strings.HasSuffix(e.Name, ".tmp")
}
