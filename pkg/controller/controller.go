// Package controller runs reconcilers: a workqueue of keys, workers, and watches that add keys to the queue.
//
// A reconcile starts only after the caches have observed the controller's last writes for the key (KEP-5647). It never
// acts on state that is older than its own writes.
package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"

	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/pkg/metrics"
)

// Key is the namespace and name of the object to reconcile.
type Key = cache.ObjectName

// Result is the result of a reconcile. The zero value waits for the next change.
type Result struct {
	// RequeueAfter is the longest time until the next reconcile of the key, if it is more than 0. A change starts one
	// earlier. It also applies if the reconcile returns an error: a time that the reconciler depends on is not missed
	// because of a longer backoff or a terminal error.
	RequeueAfter time.Duration
}

// Reconciler makes the observed state match the object of a key. The object may no longer exist.
type Reconciler interface {
	Reconcile(ctx context.Context, key Key) (Result, error)
}

// Options configure a Controller. Log and Metrics are required.
type Options struct {
	// Workers is the number of keys that are reconciled concurrently; the default is 4.
	Workers int
	// Log receives one line for each failed reconcile.
	Log *slog.Logger
	// Metrics registers the controller's metrics.
	Metrics prometheus.Registerer
	// Debounce delays the reconcile after a change, so that a burst of changes of a key causes one reconcile. The delay
	// starts with the first change; further changes do not extend it. The default is no delay.
	Debounce time.Duration
	// Backoff is the delay after the first failure of a key. It doubles with each failure, up to MaxBackoff. The
	// defaults are 50 ms and 1 min.
	Backoff, MaxBackoff time.Duration
}

// terminal is an error that a retry cannot fix.
type terminal struct{ error }

func (t terminal) Unwrap() error { return t.error }

// Terminal marks an error that only a change of the object can fix. The key is not retried until a watch enqueues it.
func Terminal(err error) error {
	if err == nil {
		return nil
	}
	return terminal{err}
}

// Controller reconciles the keys that its watches enqueue.
type Controller struct {
	name       string
	reconciler Reconciler
	options    Options
	queue      workqueue.TypedRateLimitingInterface[Key]
	metrics    *metrics.Controller
	watches    []watch
	writes     *writes
}

// watch is one event handler of the controller.
type watch struct {
	resource string
	synced   cache.InformerSynced
}

// New returns a controller. name is its label in metrics and log lines.
func New(name string, r Reconciler, o Options) *Controller {
	if o.Workers == 0 {
		o.Workers = 4
	}
	if o.Backoff == 0 {
		o.Backoff = 50 * time.Millisecond
	}
	if o.MaxBackoff == 0 {
		o.MaxBackoff = time.Minute
	}
	return &Controller{
		name: name, reconciler: r, options: o,
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[Key](o.Backoff, o.MaxBackoff),
			workqueue.TypedRateLimitingQueueConfig[Key]{
				Name:            name,
				MetricsProvider: metrics.WorkqueueProvider(o.Metrics),
				Clock:           idleClock{},
			},
		),
		metrics: metrics.NewController(o.Metrics, name),
		writes:  newWrites(),
	}
}

// idleClock is the real clock with slow tickers. The queue updates its metrics of unfinished work with one, by default
// twice per second, and looks at its delayed keys with another one, although a timer does that too. The two were most
// of what an idle process does.
type idleClock struct{ clock.RealClock }

// tickInterval is the shortest interval of a ticker.
const tickInterval = time.Minute

// NewTicker returns a ticker with an interval of at least tickInterval.
func (c idleClock) NewTicker(d time.Duration) clock.Ticker {
	return c.RealClock.NewTicker(max(d, tickInterval))
}

// Enqueue adds a key to the queue without delay.
func (c *Controller) Enqueue(key Key) { c.queue.Add(key) }

// Synced returns nil when all watches have delivered their initial objects. Its error names the caches that have not.
func (c *Controller) Synced(context.Context) error {
	var missing []string
	for _, w := range c.watches {
		if !w.synced() {
			missing = append(missing, w.resource)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("caches are not synced: %s", strings.Join(missing, ", "))
	}
	return nil
}

// Run waits until the caches are synced and then reconciles until ctx ends. It returns when all running reconciles have
// returned. The context of a running reconcile outlives ctx by up to 8 s, so that a shutdown does not interrupt it.
func (c *Controller) Run(ctx context.Context) error {
	defer c.queue.ShutDown()
	for _, w := range c.watches {
		if !cache.WaitForCacheSync(ctx.Done(), w.synced) {
			return nil
		}
	}
	c.options.Log.Info("controller started", "controller", c.name, "workers", c.options.Workers)
	reconciling, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		c.queue.ShutDown()
		time.AfterFunc(drainTimeout, cancel)
	})
	defer stop()
	var workers sync.WaitGroup
	for range c.options.Workers {
		workers.Go(func() {
			for c.next(reconciling, ctx.Done()) {
			}
		})
	}
	workers.Wait()
	return nil
}

// drainTimeout is how long running reconciles may continue after a shutdown. It is shorter than the renew deadline of
// the leader's lease.
const drainTimeout = 8 * time.Second

func (c *Controller) next(ctx context.Context, stopped <-chan struct{}) bool {
	key, shutdown := c.queue.Get()
	if shutdown {
		return false
	}
	defer c.queue.Done(key)
	select {
	case <-stopped:
		return false
	default:
	}
	if delay := c.writes.wait(key); delay > 0 {
		c.metrics.Deferred()
		c.queue.AddAfter(key, delay)
		return true
	}
	result, err := c.reconciler.Reconcile(apply.WithObserver(ctx, c.writes.of(key)), key)
	c.metrics.Reconciled(c.requeue(key, result, err))
	return true
}

// requeue schedules the next reconcile of the key and returns the result for the metrics. The queue keeps the earliest
// time of several.
func (c *Controller) requeue(key Key, result Result, err error) string {
	if result.RequeueAfter > 0 {
		c.queue.AddAfter(key, result.RequeueAfter)
	}
	log := c.options.Log.With("controller", c.name, "key", key.String())
	var final terminal
	switch {
	case errors.As(err, &final):
		c.queue.Forget(key)
		log.Error("reconcile failed; waiting for a change of the object", "error", err)
		return metrics.ResultTerminalError
	case err != nil:
		c.queue.AddRateLimited(key)
		log.Error("reconcile failed; retrying with backoff", "error", err, "failures", c.queue.NumRequeues(key))
		return metrics.ResultError
	}
	c.queue.Forget(key)
	if result.RequeueAfter > 0 {
		return metrics.ResultRequeueAfter
	}
	return metrics.ResultSuccess
}
