// Package health serves /healthz, /readyz and /metrics.
package health

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// MetricsTimeout is how long the JVM may take to answer a request for its metrics.
const MetricsTimeout = 5 * time.Second

// State is what is known of the run.
type State struct {
	mu        sync.Mutex
	now       func() time.Time
	timeout   time.Duration
	heartbeat time.Time
	ready     bool
	notReady  string
}

// NewState makes the state of a run that has not started yet: it counts as alive until there is a heart to listen to.
func NewState(timeout time.Duration, now func() time.Time) *State {
	return &State{now: now, timeout: timeout, notReady: "starting"}
}

// Beat notes a sign of life.
func (s *State) Beat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heartbeat = s.now()
}

// Ready says that it runs.
func (s *State) Ready() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = true
}

// NotReady says why it does not.
func (s *State) NotReady(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready, s.notReady = false, why
}

// Alive is nil while the JVM gives signs of life. The health of Kafka, or of what the connector talks to, plays no part:
// a restart cures neither.
func (s *State) Alive() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heartbeat.IsZero() {
		return nil
	}
	if silent := s.now().Sub(s.heartbeat); silent > s.timeout {
		return fmt.Errorf("the JVM has been silent for %s", silent.Round(time.Second))
	}
	return nil
}

// IsReady is nil when the task runs, or the connector runs and its task configs are published.
func (s *State) IsReady() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ready {
		return fmt.Errorf("not ready: %s", s.notReady)
	}
	return nil
}

// Server serves a State.
type Server struct {
	State *State
	// Gatherer has the entry point's own metrics.
	Gatherer prometheus.Gatherer
	// JVM returns the JVM's metrics as Prometheus text.
	JVM func(context.Context) (string, error)
}

// Handler of the three paths.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", check(s.State.Alive))
	mux.HandleFunc("GET /readyz", check(s.State.IsReady))
	mux.HandleFunc("GET /metrics", s.metrics)
	return mux
}

// Serve serves until the context ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 2 * MetricsTimeout, IdleTimeout: 2 * time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve health and metrics: %w", err)
	}
	return nil
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	families, err := s.Gatherer.Gather()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var out bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&out, family); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), MetricsTimeout)
	defer cancel()
	// Without an answer of the JVM the entry point's own metrics are still worth having.
	if text, err := s.JVM(ctx); err == nil {
		out.WriteString(text)
	}
	w.Header().Set("Content-Type", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	_, _ = w.Write(out.Bytes())
}

func check(f func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if err := f(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	}
}
