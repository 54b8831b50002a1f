//go:build linux

package reconcile

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

// Metrics are the metrics of the service.
type Metrics struct {
	bricks, directories *prometheus.GaugeVec
	unreadable          prometheus.Gauge
	changes             *prometheus.CounterVec
	duration            prometheus.Histogram
	overflows           prometheus.Counter
}

// NewMetrics registers the metrics of the service.
func NewMetrics(r prometheus.Registerer) *Metrics {
	factory := promauto.With(r)
	return &Metrics{
		bricks: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_quota_brick_ready", Help: "1 if directories of the brick can be limited, else 0.",
		}, []string{"volume", "brick"}),
		directories: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_quota_directories", Help: "Directories on local bricks by the state of their limit at the last check.",
		}, []string{"volume", "state"}),
		unreadable: factory.NewGauge(prometheus.GaugeOpts{
			Name: "weir_quota_unreadable_volumes", Help: "Volumes whose files of glusterd cannot be read.",
		}),
		changes: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_quota_changes_total", Help: "Changes of bricks by kind (limit, assign, release).",
		}, []string{"kind"}),
		duration: factory.NewHistogram(prometheus.HistogramOpts{
			Name: "weir_quota_sync_duration_seconds", Help: "Time to limit one directory on all local bricks.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30},
		}),
		overflows: factory.NewCounter(prometheus.CounterOpts{
			Name: "weir_quota_event_overflows_total",
			Help: "Overflows of the queue of file events. Each is followed by a check of all directories.",
		}),
	}
}

func (m *Metrics) brick(v decide.Volume, b decide.Brick, problem *decide.Problem) {
	ready := m.bricks.WithLabelValues(v.Name, b.Path)
	ready.Set(1)
	if problem != nil || v.Refusal() != "" {
		ready.Set(0)
	}
}

// states are the states of a limit, for gauges that return to 0.
var states = []decide.BrickState{
	decide.Enforced, decide.Waiting, decide.Arbiter, decide.Unsupported, decide.Refused, decide.ProjectInUse,
	decide.Unavailable, decide.Failed,
}

func (m *Metrics) counted(v decide.Volume, counts map[decide.BrickState]int) {
	for _, state := range states {
		m.directories.WithLabelValues(v.Name, string(state)).Set(float64(counts[state]))
	}
}

func (m *Metrics) problems(n int) { m.unreadable.Set(float64(n)) }

func (m *Metrics) changed(steps []decide.Step) {
	for _, step := range steps {
		switch {
		case step.Own != nil && step.Own.Released:
			m.changes.WithLabelValues("release").Inc()
		case step.SetLimit && step.LimitBytes > 0:
			m.changes.WithLabelValues("limit").Inc()
		}
		if step.Assign {
			m.changes.WithLabelValues("assign").Inc()
		}
	}
}

func (m *Metrics) synced(d time.Duration) { m.duration.Observe(d.Seconds()) }

// Overflowed counts an overflow of the queue of file events.
func (m *Metrics) Overflowed() { m.overflows.Inc() }
