//go:build linux

package reconcile

import (
	"runtime"
	"slices"
	"time"

	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/quotad/internal/brick"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

// lookInterval is the shortest time between two looks at the descriptions of a volume. lookShare limits the CPU that
// they use: the time between two looks is at least this multiple of the time of a look.
const (
	lookInterval = 10 * time.Second
	lookShare    = 2000
)

// look enqueues the directories whose descriptions were created, replaced or removed since the last look. It finds what
// causes no event in the spool directory: deleted volumes, self-heal of a brick that was offline, and new volumes of
// kadalu. It returns the time until the next look, or 0 if the descriptions of all bricks are watched, or no brick can
// be used, or the volume is checked. The check of a volume that follows starts the looks again.
func (r *Reconciler) look(v decide.Volume) time.Duration {
	if !r.isLookedAt(v) {
		return 0
	}
	if r.Described != nil && r.Described(v) {
		r.Log.Debug("descriptions are watched", "volume", v.Name)
		return 0
	}
	// As for checks, the CPU time of the thread does not include the wait for disks.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	started := threadTime()
	bricks, _ := open(v)
	defer closeAll(bricks)
	if !slices.ContainsFunc(bricks, func(b *brick.Brick) bool { return b != nil }) {
		return 0
	}
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
	used := threadTime() - started
	next := r.nextLook(v.ID, used)
	r.Log.Debug("looked for changed descriptions", "volume", v.Name, "cpu", used.String(), "next", next.String())
	return next
}

// isLookedAt reports whether a check of a volume has ended, and no other has begun. Until then a look would find
// nothing that the check does not find, and would compete with it for the disk.
func (r *Reconciler) isLookedAt(v decide.Volume) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.lookedAt[v.ID]
}

// lookAt starts the looks at a volume, or stops them.
func (r *Reconciler) lookAt(v decide.Volume, start bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.lookedAt == nil {
		r.lookedAt = map[string]bool{}
	}
	r.lookedAt[v.ID] = start
	if start {
		r.Enqueue(controller.Key{Namespace: v.ID, Name: changedDescriptions})
	}
}

// looks is the number of looks whose smallest CPU time counts.
const looks = 3

// nextLook returns the time until the next look at a volume, after one that used some CPU time. The first looks use
// more than later ones, which find the directories in the cache of the kernel.
func (r *Reconciler) nextLook(volume string, used time.Duration) time.Duration {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.lookTimes == nil {
		r.lookTimes = map[string][]time.Duration{}
	}
	times := r.lookTimes[volume]
	times = append(times, used)
	times = times[max(0, len(times)-looks):]
	r.lookTimes[volume] = times
	if len(times) < looks {
		return lookInterval
	}
	return min(max(lookInterval, lookShare*slices.Min(times)), longest*r.Interval)
}

// changed returns the directories that have or had their description in one of these directories.
func (r *Reconciler) changed(
	v decide.Volume, b *brick.Brick, changed map[decide.InfoDirectory]bool,
) (paths []string, err error) {
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
		if directory, found := decide.InfoDirectoryOf(path); found && changed[directory] {
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
