package metrics

import (
	"context"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientmetrics "k8s.io/client-go/tools/metrics"
)

var (
	restClientBuckets = []float64{0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60}

	restClientRequests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rest_client_requests_total",
		Help: "Number of HTTP requests, partitioned by status code, method, and host.",
	}, []string{"code", "method", "host"})
	restClientDuration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "rest_client_request_duration_seconds", Buckets: restClientBuckets,
		Help: "Request latency in seconds. Broken down by verb, and host.",
	}, []string{"verb", "host"})
	restClientRateLimiter = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "rest_client_rate_limiter_duration_seconds", Buckets: restClientBuckets,
		Help: "Client side rate limiter latency in seconds. Broken down by verb, and host.",
	}, []string{"verb", "host"})
	restClientRetries = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rest_client_request_retries_total",
		Help: "Number of request retries, partitioned by status code, verb, and host.",
	}, []string{"code", "verb", "host"})

	restClientOnce sync.Once
)

// restClientCollectors returns the rest_client_* metrics of the process. The first call registers them with client-go,
// which accepts only one registration per process.
func restClientCollectors() []prometheus.Collector {
	restClientOnce.Do(func() {
		clientmetrics.Register(clientmetrics.RegisterOpts{
			RequestResult:      requestResult{},
			RequestLatency:     latency{restClientDuration},
			RateLimiterLatency: latency{restClientRateLimiter},
			RequestRetry:       requestRetry{},
		})
	})
	return []prometheus.Collector{restClientRequests, restClientDuration, restClientRateLimiter, restClientRetries}
}

type requestResult struct{}

func (requestResult) Increment(_ context.Context, code, method, host string) {
	restClientRequests.WithLabelValues(code, method, host).Inc()
}

type requestRetry struct{}

func (requestRetry) IncrementRetry(_ context.Context, code, method, host string) {
	restClientRetries.WithLabelValues(code, method, host).Inc()
}

type latency struct{ vec *prometheus.HistogramVec }

func (l latency) Observe(_ context.Context, verb string, u url.URL, d time.Duration) {
	l.vec.WithLabelValues(verb, u.Host).Observe(d.Seconds())
}
