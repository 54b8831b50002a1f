//go:build linux

// Package inotify reports changes of directories.
//
// fanotify is not used. Its mark of a file system needs CAP_SYS_ADMIN and reports each file that an application creates
// on a brick, which would wake quotad all the time. Its marks of directories offer no more than inotify, and tell the
// names of files only since Linux 5.9.
package inotify

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
)

// Queue is a queue of events.
type Queue struct {
	ctx    context.Context //nolint:containedctx // a read ends with it
	file   *os.File
	stop   func() bool
	buffer []byte
}

// New returns a queue that is closed when ctx ends.
func New(ctx context.Context) (*Queue, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify_init: %w; raise fs.inotify.max_user_instances", err)
	}
	q := &Queue{ctx: ctx, file: os.NewFile(uintptr(fd), "inotify"), buffer: make([]byte, 64<<10)}
	q.stop = context.AfterFunc(ctx, func() { _ = q.file.Close() })
	return q, nil
}

// Close ends all watches.
func (q *Queue) Close() error {
	q.stop()
	return q.file.Close()
}

// Add watches an open directory, whatever its path means by now. A directory that is watched already keeps its number.
// It does nothing when the context of the queue has ended.
func (q *Queue) Add(dir *node.Dir, events uint32) (watch int, err error) {
	err = dir.Control(func(fd int) error {
		return node.Control(q.file, func(queue int) error {
			watch, err = unix.InotifyAddWatch(queue, fmt.Sprintf("/proc/self/fd/%d", fd), events|unix.IN_ONLYDIR)
			return err
		})
	})
	if err == nil || q.ctx.Err() != nil {
		return watch, nil
	}
	return watch, fmt.Errorf("watch %s: %w", dir.Name(), err)
}

// Read waits for events. It returns none when the context of the queue has ended.
func (q *Queue) Read() ([]Event, error) {
	n, err := q.file.Read(q.buffer)
	if q.ctx.Err() != nil {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read file events: %w", err)
	}
	return parse(q.buffer[:n])
}
