package runner

import (
	"context"
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-dev/weir/services/connect-runner/internal/config"
	"github.com/weir-dev/weir/services/connect-runner/internal/jvm"
)

// metrics are the entry point's own.
type metrics struct {
	published      prometheus.Gauge
	publishes      *prometheus.CounterVec
	publishSeconds prometheus.Histogram
}

func newMetrics(registry prometheus.Registerer, c *config.Config) *metrics {
	labels := prometheus.Labels{"connector": c.Name}
	if c.Mode == config.ModeTask {
		labels["task"] = c.TaskID
	}
	m := &metrics{
		published: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weir_connect_runner_task_configs", ConstLabels: labels,
			Help: "Number of task configs that are published."}),
		publishes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_connect_runner_publish_total", ConstLabels: labels,
			Help: "Attempts to publish task configs, by result: written, unchanged or error."}, []string{"result"}),
		publishSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "weir_connect_runner_publish_seconds", ConstLabels: labels,
			Help:    "Time from the connector's request for new task configs until they are published.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}}),
	}
	if c.Mode == config.ModeConnector {
		registry.MustRegister(m.published, m.publishes, m.publishSeconds)
	}
	return m
}

// scrapes are requests for the JVM's metrics that wait for their answers.
type scrapes struct {
	mu      sync.Mutex
	process *jvm.Process
	next    int64
	waiting map[int64]chan string
}

var errNoJVM = errors.New("the JVM does not run")

func newScrapes() *scrapes { return &scrapes{waiting: map[int64]chan string{}} }

func (s *scrapes) connect(p *jvm.Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process = p
}

func (s *scrapes) disconnect() { s.connect(nil) }

// ask returns the JVM's metrics.
func (s *scrapes) ask(ctx context.Context) (string, error) {
	s.mu.Lock()
	process := s.process
	s.next++
	id := s.next
	answer := make(chan string, 1)
	s.waiting[id] = answer
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.waiting, id)
	}()
	if process == nil {
		return "", errNoJVM
	}
	if err := process.AskMetrics(id); err != nil {
		return "", err
	}
	select {
	case text := <-answer:
		return text, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (s *scrapes) answer(event jvm.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if answer, ok := s.waiting[event.ID]; ok {
		answer <- event.Text
		delete(s.waiting, event.ID)
	}
}
