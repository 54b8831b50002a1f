// Package controller runs reconcilers: a queue of keys, workers, and watches that fill the queue.
//
// A reconcile starts only when the caches have seen the last writes made for its key (as in KEP-5647), so that a
// reconciler never decides on a world older than its own deeds.
package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/pkg/metrics"
)

// Key names the object that a reconcile is about.
type Key = cache.ObjectName

// Result says when a reconcile wants to run again although nothing has changed; the zero value: not at all.
type Result struct{ RequeueAfter time.Duration }

// Reconciler brings the world closer to what the object of a key asks for. It has to cope with the object being gone.
type Reconciler interface {
	Reconcile(ctx context.Context, key Key) (Result, error)
}

// Options of a Controller; only Log and Metrics are required.
type Options struct {
	// Workers is the number of keys that are reconciled at the same time; 4 where it is 0.
	Workers int
	// Log gets one line for each reconcile that failed.
	Log *slog.Logger
	// Metrics is where the controller's metrics are registered.
	Metrics prometheus.Registerer
	// Gather is how long the changes that concern a key are gathered before it is reconciled, so that a burst of them costs one
	// reconcile; not at all where it is 0.
	Debounce time.Duration
	// Backoff is how long a key waits after its first failure, and the longest that it waits; 50 ms and 1 min where 0.
	Backoff, MaxBackoff time.Duration
}

// terminal marks an error that trying again does not cure.
type terminal struct{ error }

func (t terminal) Unwrap() error { return t.error }

// Terminal marks an error that only a change of the object cures: the key is not tried again until a watch enqueues it.
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
	synced     []cache.InformerSynced
	writes     *writes
}

// New makes a controller; name is the label of its metrics and log lines.
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
	queue := workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[Key](o.Backoff, o.MaxBackoff),
		workqueue.TypedRateLimitingQueueConfig[Key]{Name: name})
	return &Controller{
		name: name, reconciler: r, options: o, queue: queue,
		metrics: metrics.NewController(o.Metrics, name, queue.Len),
		writes:  newWrites(),
	}
}

// Mapper names the keys that an object's change concerns.
type Mapper[T metav1.Object] func(T) []Key

// Self maps an object to its own key.
func Self[T metav1.Object](object T) []Key {
	return []Key{{Namespace: object.GetNamespace(), Name: object.GetName()}}
}

// Label maps an object to the key that one of its labels names.
func FromLabel[T metav1.Object](label string) Mapper[T] {
	return func(object T) []Key {
		if name := object.GetLabels()[label]; name != "" {
			return []Key{{Namespace: object.GetNamespace(), Name: name}}
		}
		return nil
	}
}

// Unread tells of an update that it changes nothing which a reconcile reads.
type IgnoreUpdate[T metav1.Object] func(was, is T) bool

// StatusAlone is Unread for a kind whose status no reconcile reads, or which nobody else writes.
func StatusOnly[T metav1.Object](was, is T) bool {
	return is.GetGeneration() != 0 && was.GetGeneration() == is.GetGeneration() && was.GetUID() == is.GetUID() &&
		maps.Equal(was.GetLabels(), is.GetLabels()) && maps.Equal(was.GetAnnotations(), is.GetAnnotations()) &&
		was.GetDeletionTimestamp().Equal(is.GetDeletionTimestamp()) &&
		equality.Semantic.DeepEqual(was.GetOwnerReferences(), is.GetOwnerReferences())
}

// Watch enqueues the keys that m names whenever an object of the informer is added, changed or deleted, but for updates that any
// of unread knows to be of no interest. All watches have to be set up before Run.
func Watch[T metav1.Object](c *Controller, informer cache.SharedIndexInformer, m Mapper[T], unread ...IgnoreUpdate[T]) error {
	enqueue := func(object any) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		if typed, ok := object.(T); ok {
			for _, key := range m(typed) {
				c.queue.AddAfter(key, c.options.Debounce)
			}
		}
	}
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		DeleteFunc: enqueue,
		UpdateFunc: func(before, after any) {
			was, ok := before.(T)
			is, alsoOK := after.(T)
			if ok && alsoOK && (was.GetResourceVersion() == is.GetResourceVersion() ||
				slices.ContainsFunc(unread, func(of IgnoreUpdate[T]) bool { return of(was, is) })) {
				return
			}
			enqueue(before)
			enqueue(after)
		},
	})
	if err != nil {
		return fmt.Errorf("watch %s for %s: %w", reflect.TypeFor[T](), c.name, err)
	}
	c.synced = append(c.synced, registration.HasSynced)
	c.writes.track(reflect.TypeFor[T](), informer.GetStore())
	return nil
}

// Enqueue asks for a reconcile of key.
func (c *Controller) Enqueue(key Key) { c.queue.Add(key) }

// Synced returns nil once all watches have delivered what there was at the start.
func (c *Controller) Synced(context.Context) error {
	for _, synced := range c.synced {
		if !synced() {
			return errors.New("caches are not synced yet")
		}
	}
	return nil
}

// Run waits for the caches, then reconciles until ctx ends, and returns when every reconcile under way has ended.
// Reconciles under way keep a context that lives on for a while, so that a stop does not tear them in the middle.
func (c *Controller) Run(ctx context.Context) error {
	defer c.queue.ShutDown()
	if !cache.WaitForCacheSync(ctx.Done(), c.synced...) {
		return nil
	}
	c.options.Log.Info("controller started", "controller", c.name, "workers", c.options.Workers)
	grace, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		c.queue.ShutDown()
		time.AfterFunc(drainTimeout, cancel)
	})
	defer stop()
	var workers sync.WaitGroup
	for range c.options.Workers {
		workers.Go(func() {
			for c.next(grace, ctx.Done()) {
			}
		})
	}
	workers.Wait()
	return nil
}

// drainTimeout bounds how long a reconcile may go on after a stop; it stays below the lease's renewal deadline.
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
	if wait := c.writes.wait(key); wait > 0 {
		c.metrics.Deferred()
		c.queue.AddAfter(key, wait)
		return true
	}
	c.reconcile(ctx, key)
	return true
}

func (c *Controller) reconcile(ctx context.Context, key Key) {
	started := time.Now()
	result, err := c.reconciler.Reconcile(apply.WithObserver(ctx, c.writes.of(key)), key)
	outcome := c.settle(key, result, err)
	c.metrics.Reconciled(outcome, time.Since(started))
}

// settle decides when a key comes up again, and names the outcome for the metrics.
func (c *Controller) settle(key Key, result Result, err error) string {
	var final terminal
	switch {
	case errors.As(err, &final):
		c.queue.Forget(key)
		c.options.Log.Error("reconcile failed, and waits for a change", "controller", c.name, "key", key.String(), "error", err)
		return "terminal"
	case err != nil:
		c.queue.AddRateLimited(key)
		c.options.Log.Error("reconcile failed, and will be tried again", "controller", c.name, "key", key.String(), "error", err, "failures", c.queue.NumRequeues(key))
		return "failed"
	case result.RequeueAfter > 0:
		c.queue.Forget(key)
		c.queue.AddAfter(key, result.RequeueAfter)
		return "again"
	}
	c.queue.Forget(key)
	return "done"
}
