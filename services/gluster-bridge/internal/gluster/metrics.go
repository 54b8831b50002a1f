//go:build linux

package gluster

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// RecoveryMetrics hold the metrics of the clients of a node.
type RecoveryMetrics struct {
	up, broken          *prometheus.GaugeVec
	failures, recovered *prometheus.CounterVec
	seconds             prometheus.Histogram
}

// NewRecoveryMetrics registers the metrics of the clients of a node.
func NewRecoveryMetrics(r prometheus.Registerer) *RecoveryMetrics {
	factory, labels := promauto.With(r), []string{"client"}
	return &RecoveryMetrics{
		up: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_gluster_client_up",
			Help: "1 if the GlusterFS client serves requests on this node, else 0.",
		}, labels),
		broken: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_gluster_broken_mounts",
			Help: "Mounts of an ended client that could not be replaced; their pods have to be restarted.",
		}, labels),
		failures: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_gluster_client_failures_total",
			Help: "How often a GlusterFS client has ended while it was mounted.",
		}, labels),
		recovered: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_gluster_recovered_mounts_total",
			Help: "Mounts of ended clients that were replaced, on the node and in containers.",
		}, labels),
		seconds: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "weir_gluster_client_recovery_duration_seconds",
			Help:    "Time from the detection of an ended client until all its mounts are replaced.",
			Buckets: prometheus.ExponentialBuckets(0.05, 2, 12),
		}),
	}
}

// forget removes the gauges of a client that was ended.
func (m *RecoveryMetrics) forget(client string) {
	m.up.DeleteLabelValues(client)
	m.broken.DeleteLabelValues(client)
}
