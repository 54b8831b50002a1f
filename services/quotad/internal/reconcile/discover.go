//go:build linux

package reconcile

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/pkg/timer"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
	"github.com/weir-dev/weir/services/quotad/internal/glusterd"
)

// discover reads the volumes of the node and enqueues those that are new or have changed.
func (r *Reconciler) discover() error {
	read, err := glusterd.Read(r.Dir)
	if err != nil {
		return err
	}
	if err := r.lock(); err != nil {
		return err
	}
	r.mutex.Lock()
	before := r.node
	if problem := errors.Join(read.Problems...); problem != nil {
		if problem.Error() != r.problems {
			r.Log.Warn("some volumes cannot be read", "error", problem)
		}
		r.problems = problem.Error()
		// A file that is being written must not look like a deleted volume.
		read.Volumes = keepUnreadable(before.Volumes, read)
		if read.ListUnreadable {
			keepManaged(before.Volumes, read.Volumes)
		}
	} else {
		r.problems = ""
	}
	r.node = read
	r.mutex.Unlock()
	r.Metrics.problems(len(read.Problems))
	managed := slices.DeleteFunc(slices.Clone(read.Volumes), func(v decide.Volume) bool { return !r.manages(v) })
	if r.Changed != nil {
		r.Changed(managed)
	}
	r.mutex.Lock()
	checked := r.checked
	r.checked = managed
	r.mutex.Unlock()
	// A volume that is not managed any more is not checked again. If it is managed later, its check starts again.
	for _, v := range managed {
		if !slices.ContainsFunc(checked, func(old decide.Volume) bool { return reflect.DeepEqual(old, v) }) {
			r.Log.Info("found a volume", "volume", v.Name, "bricks", len(v.Local))
			r.Enqueue(controller.Key{Namespace: v.ID})
		}
	}
	return nil
}

// discoverAgain returns when the files of glusterd are read again.
func (r *Reconciler) discoverAgain(err error) (controller.Result, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if err != nil || r.problems != "" || !r.watched.Load() {
		return controller.Result{RequeueAfter: discoverInterval}, err
	}
	return controller.Result{RequeueAfter: watchedInterval}, nil
}

// WatchGlusterd watches the files of glusterd until ctx ends.
func (r *Reconciler) WatchGlusterd(ctx context.Context) error {
	previous := ""
	for ctx.Err() == nil {
		err := glusterd.Watch(ctx, r.Dir, func() {
			previous = ""
			r.watched.Store(true)
			r.Enqueue(Discover)
		})
		r.watched.Store(false)
		if ctx.Err() != nil {
			break
		}
		if previous != err.Error() {
			previous = err.Error()
			r.Log.Warn("changes of the files of glusterd are not watched; they are read regularly", "error", err,
				"interval", discoverInterval.String())
		}
		r.Enqueue(Discover)
		timer.Sleep(ctx, discoverInterval)
	}
	return nil
}

// unchecked notes that the check of a volume that is not managed any more does not repeat itself.
func (r *Reconciler) unchecked(key controller.Key) {
	if key.Name != "" {
		return
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.checked = slices.DeleteFunc(slices.Clone(r.checked), func(v decide.Volume) bool { return v.ID == key.Namespace })
}

// discoverUnchecked starts the regular check of a volume that is managed since its first GlusterVolume was created.
func (r *Reconciler) discoverUnchecked(v decide.Volume) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if !slices.ContainsFunc(r.checked, func(checked decide.Volume) bool { return checked.ID == v.ID }) {
		r.Enqueue(Discover)
	}
}

// manages reports whether the directories of a volume are limited, or have limits that have to be released.
func (r *Reconciler) manages(v decide.Volume) bool {
	// The records are asked first: Manages lists all GlusterVolumes.
	return r.Reporter != nil && r.Records.Has(v.ID) || r.Source.Manages(v)
}

// keepManaged keeps volumes managed whose list cannot be read.
func keepManaged(before, now []decide.Volume) {
	for i, v := range now {
		wasManaged := slices.ContainsFunc(before, func(old decide.Volume) bool { return old.ID == v.ID && old.Managed })
		now[i].Managed = v.Managed || wasManaged
	}
}

func keepUnreadable(before []decide.Volume, read glusterd.Node) []decide.Volume {
	volumes := slices.Clone(read.Volumes)
	for _, old := range before {
		known := slices.ContainsFunc(volumes, func(v decide.Volume) bool { return v.Name == old.Name })
		if !known && slices.Contains(read.Unreadable, old.Name) {
			volumes = append(volumes, old)
		}
	}
	return volumes
}
