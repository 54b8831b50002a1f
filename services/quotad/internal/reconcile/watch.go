//go:build linux

package reconcile

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/quotad/internal/brick"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
	"github.com/weir-dev/weir/services/quotad/internal/spool"
)

// Watches watch the spool directories of bricks.
type Watches struct {
	// Log of the service.
	Log *slog.Logger
	// Metrics of the service.
	Metrics *Metrics
	// Enqueue adds a key to the queue.
	Enqueue func(controller.Key)
	// Descriptions is true if the sizes come from descriptions on the bricks.
	Descriptions bool

	started chan struct{}
	mutex   sync.Mutex
	ctx     context.Context //nolint:containedctx // watches end with the service, not with a reconcile
	running map[string]context.CancelFunc
	group   sync.WaitGroup
	// described are the bricks whose descriptions are watched.
	described map[string]bool
	// isUsable reports whether a brick can be watched.
	isUsable func(decide.Volume, decide.Brick) bool
	// again is closed when bricks that cannot be watched are tried again.
	again chan struct{}
}

// NewWatches returns watches that start with Run.
func NewWatches(log *slog.Logger, metrics *Metrics, enqueue func(controller.Key)) *Watches {
	return &Watches{
		Log: log, Metrics: metrics, Enqueue: enqueue, started: make(chan struct{}), again: make(chan struct{}),
		isUsable: isUsable, described: map[string]bool{},
	}
}

// isUsable reports whether a brick can be used. Its directory may be an empty mount point.
func isUsable(v decide.Volume, b decide.Brick) bool {
	opened, problem := brick.Open(v, b)
	if problem == nil {
		_ = opened.Close()
	}
	return problem == nil
}

// Retry tries the bricks again that cannot be watched, after a change of mounts.
func (w *Watches) Retry() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	close(w.again)
	w.again = make(chan struct{})
}

func (w *Watches) retried() <-chan struct{} {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.again
}

// Run keeps the watches until ctx ends.
func (w *Watches) Run(ctx context.Context) error {
	w.mutex.Lock()
	w.ctx, w.running = ctx, map[string]context.CancelFunc{}
	w.mutex.Unlock()
	close(w.started)
	<-ctx.Done()
	w.group.Wait()
	return nil
}

// Set watches the bricks of volumes, and no others. It waits until Run has been called, and until the new watches have
// begun: a check that starts afterwards finds all changes from before. The watch of a brick that cannot be used begins
// later, and is followed by a check.
func (w *Watches) Set(volumes []decide.Volume) {
	<-w.started
	var begun []<-chan struct{}
	defer func() {
		for _, first := range begun {
			<-first
		}
	}()
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.ctx.Err() != nil {
		return
	}
	wanted := map[string]bool{}
	for _, v := range volumes {
		for _, b := range v.Local {
			id := v.ID + " " + b.Path
			wanted[id] = true
			if w.running[id] == nil {
				ctx, cancel := context.WithCancel(w.ctx)
				w.running[id] = cancel
				first := make(chan struct{})
				begun = append(begun, first)
				w.group.Go(func() { w.watch(ctx, v, b, first) })
			}
		}
	}
	for id, cancel := range w.running {
		if !wanted[id] {
			cancel()
			delete(w.running, id)
		}
	}
}

// A brick that cannot be watched is tried again after firstRewatch. The time doubles up to lastRewatch.
const firstRewatch, lastRewatch = time.Second, 10 * time.Second

// watch watches a brick until ctx ends. It closes first when the watch has begun, or cannot begin yet.
func (w *Watches) watch(ctx context.Context, v decide.Volume, b decide.Brick, first chan struct{}) {
	volume, isFirst := controller.Key{Namespace: v.ID}, true
	attempted := func() {
		if isFirst {
			close(first)
			isFirst = false
		}
	}
	handler := spool.Handler{
		Changed: func(name string) {
			if path, found := decide.SpoolPath(name); found {
				w.Enqueue(controller.Key{Namespace: v.ID, Name: path})
			}
		},
		Started: func() {
			if isFirst {
				attempted()
				return
			}
			// Requests that came before the watch began are found by a check.
			w.Enqueue(volume)
		},
		Overflowed: func() {
			w.Metrics.Overflowed()
			w.Enqueue(volume)
		},
	}
	for next := firstRewatch; ctx.Err() == nil; {
		retried := w.retried()
		if w.isUsable(v, b) {
			next = firstRewatch
			watching, cancel := context.WithCancel(ctx)
			described := w.describe(watching, v, b)
			err := spool.Watch(ctx, b.Path, handler)
			cancel()
			<-described
			w.Log.Debug("the watch of a brick ended", "brick", b.Path, "error", err)
			if err == nil && ctx.Err() == nil {
				// The brick was unmounted. Its next mount can have the same numbers.
				w.Enqueue(volume)
			}
		}
		attempted()
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-retried:
			next = firstRewatch
		case <-timer.C:
			next = min(2*next, lastRewatch)
		}
		timer.Stop()
	}
	attempted()
}
