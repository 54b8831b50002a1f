//go:build linux

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

// all checks all directories of a volume, and those that had a limit before. It returns the time until the next
// check.
func (r *Reconciler) all(ctx context.Context, v decide.Volume) (next time.Duration, err error) {
	// The CPU time of the thread does not include the wait for disks.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	started := threadTime()
	defer func() { next = r.nextCheck(threadTime() - started) }()
	if r.Descriptions {
		r.lookAt(v, false)
		defer r.lookAt(v, true)
	}
	// A mount that changes after this is followed by another check.
	r.changedMounts(v)
	bricks, problems := open(v)
	fileSystems := map[string]bool{}
	for i, b := range bricks {
		r.Metrics.brick(v, v.Local[i], problems[i])
		if b != nil {
			fileSystems[b.FileSystem] = true
			r.remember(v, v.Local[i], b)
		}
		r.logProblem(v, v.Local[i], problems[i])
	}
	defer closeAll(bricks)
	begun := time.Now()
	seen := map[string]bool{}
	counts := map[decide.BrickState]int{}
	var failed []error
	check := func(paths []string) error {
		for chunk := range slices.Chunk(paths, chunkSize) {
			states, _, err := r.sync(ctx, v, chunk, true)
			for path, of := range states {
				for _, state := range of {
					counts[state]++
				}
				if slices.ContainsFunc(of, isRetried) {
					r.Enqueue(controller.Key{Namespace: v.ID, Name: path})
				}
			}
			if err != nil && len(failed) < 5 {
				failed = append(failed, err)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		for _, path := range paths {
			seen[path] = true
		}
		return nil
	}
	if err := r.Source.Walk(v, bricks, check); err != nil {
		return 0, fmt.Errorf("volume %s: %w", v.Name, err)
	}
	for fileSystem := range fileSystems {
		recorded, err := r.Records.Paths(fileSystem, v.ID)
		if err != nil {
			return 0, err
		}
		recorded = slices.DeleteFunc(recorded, func(path string) bool { return seen[path] })
		if err := check(recorded); err != nil {
			return 0, err
		}
	}
	r.Metrics.counted(v, counts)
	r.Log.Info("checked a volume", "volume", v.Name, "directories", len(seen), "enforced", counts[decide.Enforced],
		"duration", time.Since(begun).Round(time.Millisecond).String(),
		"next", r.nextCheck(threadTime()-started).Round(time.Second).String())
	return 0, errors.Join(failed...)
}

// Checks of many directories are expensive. If one uses more CPU time than smallCheck, the time to the next one is
// checkShare times what it used beyond that, but at most longest times the interval.
const (
	smallCheck = 300 * time.Millisecond
	checkShare = 2000
	longest    = 10
)

// nextCheck returns the time until the next check of a volume, after one that used some CPU time.
func (r *Reconciler) nextCheck(used time.Duration) time.Duration {
	return min(max(r.Interval, checkShare*(used-smallCheck)), longest*r.Interval)
}

// threadTime returns the CPU time that this thread has used.
func threadTime() time.Duration {
	var used unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &used)
	return time.Duration(used.Nano())
}
