package webhook

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// Metrics of the webhook.
type Metrics struct {
	reviews  *prometheus.CounterVec
	duration *prometheus.HistogramVec
	refused  *prometheus.CounterVec
	rolls    *prometheus.CounterVec
	queries  *prometheus.HistogramVec
	refresh  *prometheus.GaugeVec
}

// NewMetrics registers the metrics. expiry returns when the serving certificate expires.
func NewMetrics(r prometheus.Registerer, expiry func() time.Time) *Metrics {
	make := promauto.With(r)
	make.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "weir_drain_certificate_expiry_timestamp_seconds",
		Help: "Unix time of the expiry of the serving certificate; 0 without a certificate.",
	}, func() float64 {
		if at := expiry(); !at.IsZero() {
			return float64(at.Unix())
		}
		return 0
	})
	return &Metrics{
		reviews: make.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_drain_reviews_total", Help: "Reviews of evictions, by decision (allow, deny) and reason.",
		}, []string{"decision", "reason"}),
		duration: make.NewHistogramVec(prometheus.HistogramOpts{
			Name: "weir_drain_review_duration_seconds", Help: "Duration of reviews, by decision (allow, deny).",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .1, .5, 1, 5},
		}, []string{"decision"}),
		refused: make.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_drain_refused_total", Help: "HTTP requests that are not reviews, by HTTP status.",
		}, []string{"status"}),
		rolls: make.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_drain_rolls_total",
			Help: "Rolls that an operator was asked for, by result of the write (written, failed).",
		}, []string{"result"}),
		queries: make.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "weir_drain_kafka_query_duration_seconds",
			Help:    "Duration of queries of Kafka clusters, by policy and result (ok, failed).",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"policy", "result"}),
		refresh: make.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_drain_isr_last_refresh_timestamp_seconds",
			Help: "Unix time of the last successful query of the in-sync replicas of a policy's Kafka cluster.",
		}, []string{"policy"}),
	}
}

func (m *Metrics) reviewed(d decide.Decision, took time.Duration) {
	decision := "deny"
	if d.Allow {
		decision = "allow"
	}
	m.reviews.WithLabelValues(decision, string(d.Reason)).Inc()
	m.duration.WithLabelValues(decision).Observe(took.Seconds())
}

// Refused counts an HTTP request that is not a review.
func (m *Metrics) Refused(status int) { m.refused.WithLabelValues(strconv.Itoa(status)).Inc() }

// Rolled counts the write of a roll request.
func (m *Metrics) Rolled(ok bool) {
	m.rolls.WithLabelValues(map[bool]string{true: "written", false: "failed"}[ok]).Inc()
}

// KafkaQueried records a query of a policy's Kafka cluster.
func (m *Metrics) KafkaQueried(policy string, took time.Duration, err error) {
	if err != nil {
		m.queries.WithLabelValues(policy, "failed").Observe(took.Seconds())
		return
	}
	m.queries.WithLabelValues(policy, "ok").Observe(took.Seconds())
	m.refresh.WithLabelValues(policy).SetToCurrentTime()
}
