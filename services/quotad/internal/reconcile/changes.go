//go:build linux

package reconcile

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/quotad/internal/brick"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

// lookInterval is the shortest time between two looks at the descriptions of a volume. lookShare limits the CPU that
// they use: the time between two looks is at least this multiple of the CPU time of a look.
const (
	lookInterval = 5 * time.Second
	lookShare    = 2000
)

// look enqueues the directories whose descriptions were created, replaced or removed since the last look. It finds what
// causes no event in the spool directory: deleted volumes, self-heal of a brick that was offline, and new volumes of
// kadalu. It returns the time until the next look.
func (r *Reconciler) look(v decide.Volume) time.Duration {
	// The CPU time of the thread does not depend on the load of the node.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begun := threadTime()
	bricks, _ := open(v)
	defer closeAll(bricks)
	for i, b := range bricks {
		if b == nil {
			// The brick is checked when it is mounted again.
			continue
		}
		before, now := r.remember(v, v.Local[i], b)
		if before == nil {
			continue
		}
		paths, err := r.changed(v, b, now.Since(before))
		if err != nil {
			r.Log.Warn("the descriptions of a brick cannot be read", "brick", v.Local[i].Path, "error", err)
		}
		for _, path := range paths {
			r.Enqueue(controller.Key{Namespace: v.ID, Name: path})
		}
	}
	return min(max(lookInterval, lookShare*(threadTime()-begun)), r.Interval)
}

// threadTime returns the CPU time that this thread has used.
func threadTime() time.Duration {
	var used unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &used)
	return time.Duration(used.Nano())
}

// changed returns the directories that have or had their description in one of these directories.
func (r *Reconciler) changed(v decide.Volume, b *brick.Brick, changed map[string]bool) (paths []string, err error) {
	if len(changed) == 0 {
		return nil, nil
	}
	for directory := range changed {
		described, err := b.Descriptions(directory)
		if err != nil {
			return paths, err
		}
		paths = append(paths, described...)
	}
	recorded, err := r.Records.Paths(b.FileSystem, v.ID)
	for _, path := range recorded {
		if changed[decide.InfoDirectory(path)] {
			paths = append(paths, path)
		}
	}
	return paths, err
}

// remember records the changes of the descriptions of a brick. It returns the previous ones, nil if there are none.
func (r *Reconciler) remember(v decide.Volume, of decide.Brick, b *brick.Brick) (before, now brick.Changes) {
	if !r.Descriptions {
		return nil, nil
	}
	now, err := b.Changes()
	if err != nil {
		r.Log.Warn("the descriptions of a brick cannot be read", "brick", of.Path, "error", err)
		return nil, nil
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	id := v.ID + " " + of.Path
	before = r.changes[id]
	if r.changes == nil {
		r.changes = map[string]brick.Changes{}
	}
	r.changes[id] = now
	return before, now
}
