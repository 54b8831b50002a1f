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

// MetricsTimeout bounds a request for the JVM's metrics.
const MetricsTimeout = 5 * time.Second

// State is the health of a run.
type State struct {
	mu        sync.Mutex
	now       func() time.Time
	timeout   time.Duration
	heartbeat time.Time
	ready     bool
	notReady  string
}

// NewState returns the state of a run that is starting. It is alive until timeout after the first heartbeat.
func NewState(timeout time.Duration, now func() time.Time) *State {
	return &State{now: now, timeout: timeout, notReady: "starting"}
}

// Heartbeat records a heartbeat of the JVM.
func (s *State) Heartbeat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heartbeat = s.now()
}

// Ready makes /readyz succeed.
func (s *State) Ready() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = true
}

// NotReady makes /readyz fail with a reason.
func (s *State) NotReady(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready, s.notReady = false, reason
}

// Alive returns an error when the last heartbeat is too old. It does not depend on Kafka or on the external system: a
// restart fixes neither.
func (s *State) Alive() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heartbeat.IsZero() {
		return nil
	}
	if silent := s.now().Sub(s.heartbeat); silent > s.timeout {
		return fmt.Errorf("the JVM sent no heartbeat for %s", silent.Round(time.Second))
	}
	return nil
}

// IsReady returns nil when the task runs, or when the connector's task configs are published.
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
	// Gatherer has the metrics of the Go process.
	Gatherer prometheus.Gatherer
	// JVM returns the JVM's metrics as Prometheus text.
	JVM func(context.Context) (string, error)
}

// Handler returns the handler of the three paths.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", check(s.State.Alive))
	mux.HandleFunc("GET /readyz", check(s.State.IsReady))
	mux.HandleFunc("GET /metrics", s.metrics)
	return mux
}

// Serve serves until the context ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      2 * MetricsTimeout,
		IdleTimeout:       2 * time.Minute,
	}
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
	// The metrics of the Go process are useful without those of the JVM.
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
