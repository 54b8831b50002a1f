// Package metrics contains the Prometheus metrics of every service: the Go runtime and process, client-go's workqueues
// and requests under their standard names (workqueue_*, rest_client_*), the results of reconciles, and the writes to
// the Kubernetes API.
package metrics

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// NewRegistry returns a registry with the metrics of the Go runtime, the process, and client-go's requests. client-go
// has one set of request metrics per process, so all registries of a process report the same rest_client_* values.
func NewRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	)
	registry.MustRegister(restClientCollectors()...)
	return registry
}

// Results of a reconcile: the values of the label result of weir_reconciles_total.
const (
	// ResultSuccess means that the key waits for the next change.
	ResultSuccess = "success"
	// ResultRequeueAfter means that the reconciler asked for another reconcile after a delay.
	ResultRequeueAfter = "requeue_after"
	// ResultError means that the reconcile failed and is retried with backoff.
	ResultError = "error"
	// ResultTerminalError means that the reconcile failed and is not retried until the object changes.
	ResultTerminalError = "terminal_error"
)

// Controller holds the metrics of one controller that client-go's workqueue metrics do not cover.
type Controller struct {
	reconciles *prometheus.CounterVec
	deferred   prometheus.Counter
}

// NewController registers the metrics of a controller. name is the value of the label controller. It should also be the
// name of the controller's workqueue.
func NewController(r prometheus.Registerer, name string) *Controller {
	factory := promauto.With(prometheus.WrapRegistererWith(prometheus.Labels{"controller": name}, r))
	c := &Controller{
		reconciles: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_reconciles_total",
			Help: "Reconciles by result: success, requeue_after, error or terminal_error.",
		}, []string{"result"}),
		deferred: factory.NewCounter(prometheus.CounterOpts{
			Name: "weir_reconciles_deferred_total",
			Help: "Reconciles deferred until the caches observe the last writes for the key.",
		}),
	}
	for _, result := range []string{ResultSuccess, ResultRequeueAfter, ResultError, ResultTerminalError} {
		c.reconciles.WithLabelValues(result)
	}
	return c
}

// Reconciled counts one reconcile.
func (c *Controller) Reconciled(result string) { c.reconciles.WithLabelValues(result).Inc() }

// Deferred counts one deferred reconcile.
func (c *Controller) Deferred() { c.deferred.Inc() }

// registered registers the collector, or returns the equal collector that was registered before: the controllers of a
// registry share their workqueue metrics.
func registered[C prometheus.Collector](r prometheus.Registerer, collector C) C {
	err := r.Register(collector)
	if already := (prometheus.AlreadyRegisteredError{}); errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(C); ok {
			return existing
		}
	}
	if err != nil {
		// A metric with the same name and other labels is a programming error, as in promauto.
		panic(err)
	}
	return collector
}
