package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/util/workqueue"
)

// WorkqueueProvider returns a provider that registers the metrics of workqueues with r, under the names, labels and
// buckets of Kubernetes' own components. Set it in a queue's configuration; client-go's global provider is not used.
func WorkqueueProvider(r prometheus.Registerer) workqueue.MetricsProvider {
	return workqueueProvider{r}
}

type workqueueProvider struct{ registerer prometheus.Registerer }

var workqueueLabels = []string{"name"}

func (p workqueueProvider) gauge(queue, name, help string) prometheus.Gauge {
	vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, workqueueLabels)
	return registered(p.registerer, vec).WithLabelValues(queue)
}

func (p workqueueProvider) counter(queue, name, help string) prometheus.Counter {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, workqueueLabels)
	return registered(p.registerer, vec).WithLabelValues(queue)
}

func (p workqueueProvider) histogram(queue, name, help string) prometheus.Observer {
	vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(10e-9, 10, 12),
	}, workqueueLabels)
	return registered(p.registerer, vec).WithLabelValues(queue)
}

func (p workqueueProvider) NewDepthMetric(queue string) workqueue.GaugeMetric {
	return p.gauge(queue, "workqueue_depth", "Current depth of workqueue.")
}

func (p workqueueProvider) NewAddsMetric(queue string) workqueue.CounterMetric {
	return p.counter(queue, "workqueue_adds_total", "Total number of adds handled by workqueue.")
}

func (p workqueueProvider) NewLatencyMetric(queue string) workqueue.HistogramMetric {
	return p.histogram(queue, "workqueue_queue_duration_seconds",
		"How long in seconds an item stays in workqueue before being requested.")
}

func (p workqueueProvider) NewWorkDurationMetric(queue string) workqueue.HistogramMetric {
	return p.histogram(queue, "workqueue_work_duration_seconds",
		"How long in seconds processing an item from workqueue takes.")
}

func (p workqueueProvider) NewUnfinishedWorkSecondsMetric(queue string) workqueue.SettableGaugeMetric {
	return p.gauge(queue, "workqueue_unfinished_work_seconds",
		"How many seconds of work is in progress and has not been observed by work_duration.")
}

func (p workqueueProvider) NewLongestRunningProcessorSecondsMetric(queue string) workqueue.SettableGaugeMetric {
	return p.gauge(queue, "workqueue_longest_running_processor_seconds",
		"How many seconds the longest running processor for workqueue has been running.")
}

func (p workqueueProvider) NewRetriesMetric(queue string) workqueue.CounterMetric {
	return p.counter(queue, "workqueue_retries_total", "Total number of retries handled by workqueue.")
}
