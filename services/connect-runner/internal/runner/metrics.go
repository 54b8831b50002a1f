package runner

import (
	"context"
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-dev/weir/services/connect-runner/internal/config"
	"github.com/weir-dev/weir/services/connect-runner/internal/jvm"
)

// metrics are the metrics of the Go process.
type metrics struct {
	published      prometheus.Gauge
	publishes      *prometheus.CounterVec
	publishSeconds prometheus.Histogram
	publishDelay   prometheus.Gauge
}

func newMetrics(registry prometheus.Registerer, c *config.Config) *metrics {
	labels := prometheus.Labels{"connector": c.Name}
	if c.Mode == config.ModeTask {
		labels["task"] = c.TaskID
	}
	m := &metrics{
		published: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weir_connect_runner_task_configs", ConstLabels: labels,
			Help: "Number of published task configs."}),
		publishes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_connect_runner_publish_total", ConstLabels: labels,
			Help: "Attempts to publish task configs, by result (written, unchanged, error)."}, []string{"result"}),
		publishSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "weir_connect_runner_publish_seconds", ConstLabels: labels,
			Help:    "Time from the connector's reconfiguration request to the published task configs.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}}),
	}
	m.publishDelay = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "weir_connect_runner_publish_delay_seconds", ConstLabels: labels,
		Help: "Delay of the change that waits because the connector changes its task configs too often; 0 for none."})
	if c.Mode == config.ModeConnector {
		registry.MustRegister(m.published, m.publishes, m.publishSeconds, m.publishDelay)
	}
	return m
}

// scrapes matches requests for the JVM's metrics with their responses.
type scrapes struct {
	mu      sync.Mutex
	process *jvm.Process
	nextID  int64
	pending map[int64]chan string
}

var errNoJVM = errors.New("the JVM does not run")

func newScrapes() *scrapes { return &scrapes{pending: map[int64]chan string{}} }

func (s *scrapes) connect(p *jvm.Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process = p
}

func (s *scrapes) disconnect() { s.connect(nil) }

// scrape returns the JVM's metrics.
func (s *scrapes) scrape(ctx context.Context) (string, error) {
	s.mu.Lock()
	process := s.process
	s.nextID++
	id := s.nextID
	response := make(chan string, 1)
	s.pending[id] = response
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.pending, id)
	}()
	if process == nil {
		return "", errNoJVM
	}
	if err := process.RequestMetrics(id); err != nil {
		return "", err
	}
	select {
	case text := <-response:
		return text, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// respond completes the request with the event's id.
func (s *scrapes) respond(event jvm.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if response, ok := s.pending[event.ID]; ok {
		response <- event.Text
		delete(s.pending, event.ID)
	}
}
