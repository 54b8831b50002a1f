//go:build linux

package reconcile

import (
	"context"

	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
	"github.com/weir-dev/weir/services/quotad/internal/descriptions"
)

// Described reports whether the descriptions of all local bricks of a volume are watched.
func (w *Watches) Described(v decide.Volume) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for _, b := range v.Local {
		if !w.described[v.ID+" "+b.Path] {
			return false
		}
	}
	return true
}

// maxDescribed is the largest number of bricks whose descriptions are watched. Each needs an inotify instance, of which
// a user has 128 by default.
const maxDescribed = 16

// describe watches the descriptions of a brick until ctx ends. It returns when the watch has begun, and closes ended
// afterwards. The descriptions of a brick with very many of them are not watched but looked at.
func (w *Watches) describe(ctx context.Context, v decide.Volume, b decide.Brick) (ended <-chan struct{}) {
	done := make(chan struct{})
	if !w.Descriptions {
		close(done)
		return done
	}
	id := v.ID + " " + b.Path
	set := func(isDescribed bool) (isOne bool) {
		w.mutex.Lock()
		defer w.mutex.Unlock()
		if isDescribed && len(w.described) >= maxDescribed {
			return false
		}
		delete(w.described, id)
		if isDescribed {
			w.described[id] = true
		}
		return true
	}
	if !set(true) {
		close(done)
		return done
	}
	watcher, err := descriptions.Watch(ctx, b.Path)
	if err != nil {
		set(false)
	}
	go func() {
		defer close(done)
		if err == nil {
			err = watcher.Run(ctx, descriptions.Handler{
				Changed: func(path string) { w.Enqueue(controller.Key{Namespace: v.ID, Name: path}) },
				Overflowed: func() {
					w.Metrics.Overflowed()
					w.Enqueue(controller.Key{Namespace: v.ID})
				},
			})
			set(false)
		}
		if ctx.Err() == nil {
			w.Log.Debug("the descriptions of a brick are not watched", "brick", b.Path, "error", err)
			w.Enqueue(controller.Key{Namespace: v.ID, Name: changedDescriptions})
		}
	}()
	return done
}
