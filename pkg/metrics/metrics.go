// Package metrics holds the Prometheus metrics that every service has: those of its controllers, and the count of
// what it writes to the API.
package metrics

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"k8s.io/client-go/rest"
)

// NewRegistry makes a registry with the metrics of the Go runtime and of the process.
func NewRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector())
	return registry
}

// Controller are the metrics of one controller.
type Controller struct {
	reconciles *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	waits      prometheus.Counter
}

// NewController registers the metrics of the controller called name; depth tells how many keys wait.
func NewController(r prometheus.Registerer, name string, depth func() int) *Controller {
	r = prometheus.WrapRegistererWith(prometheus.Labels{"controller": name}, r)
	make := promauto.With(r)
	make.NewGaugeFunc(prometheus.GaugeOpts{Name: "weir_queue_depth", Help: "Keys that wait to be reconciled."},
		func() float64 { return float64(depth()) })
	return &Controller{
		reconciles: make.NewCounterVec(prometheus.CounterOpts{Name: "weir_reconciles_total", Help: "Reconciles by outcome: done, again, failed or terminal."}, []string{"outcome"}),
		duration: make.NewHistogramVec(prometheus.HistogramOpts{Name: "weir_reconcile_duration_seconds", Help: "Time that a reconcile took, by outcome.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}, []string{"outcome"}),
		waits: make.NewCounter(prometheus.CounterOpts{Name: "weir_reconcile_waits_total", Help: "Reconciles put off because the caches had not yet seen the key's last writes."}),
	}
}

// Reconciled counts one reconcile.
func (c *Controller) Reconciled(outcome string, took time.Duration) {
	c.reconciles.WithLabelValues(outcome).Inc()
	c.duration.WithLabelValues(outcome).Observe(took.Seconds())
}

// Waited counts one reconcile that was put off.
func (c *Controller) Deferred() { c.waits.Inc() }

// CountWrites returns a copy of config whose client counts every request that changes something, by verb, resource and status code.
func CountWrites(config *rest.Config, r prometheus.Registerer) *rest.Config {
	writes := promauto.With(r).NewCounterVec(prometheus.CounterOpts{
		Name: "weir_api_writes_total", Help: "Requests to the Kubernetes API that change something, by verb, resource and HTTP status code (0: no answer)."},
		[]string{"verb", "resource", "code"})
	counted := rest.CopyConfig(config)
	counted.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(request)
			if verb := writeVerb(request); verb != "" {
				code := 0
				if response != nil {
					code = response.StatusCode
				}
				writes.WithLabelValues(verb, Resource(request.URL.Path), strconv.Itoa(code)).Inc()
			}
			return response, err
		})
	})
	return counted
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

func writeVerb(request *http.Request) string {
	switch request.Method {
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodDelete:
		return "delete"
	case http.MethodPatch:
		if strings.HasPrefix(request.Header.Get("Content-Type"), "application/apply-patch") {
			return "apply"
		}
		return "patch"
	}
	return ""
}

// Resource tells which resource a path of the Kubernetes API is about, with its subresource, for example statefulsets or
// kafkaconnectors/status; paths of no resource give "other".
func Resource(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		parts = parts[3:]
	default:
		return "other"
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	if len(parts) > 2 {
		return parts[0] + "/" + parts[2]
	}
	return parts[0]
}
