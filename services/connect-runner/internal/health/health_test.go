package health

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	body, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	return w.Code, string(body)
}

func TestHealthzFailsWithoutHeartbeats(t *testing.T) {
	now := time.Unix(0, 0)
	state := NewState(time.Minute, func() time.Time { return now })
	h := (&Server{State: state}).Handler()
	now = now.Add(time.Hour)
	code, _ := get(t, h, "/healthz")
	require.Equal(t, http.StatusOK, code, "the download of plugins is not limited")
	state.Heartbeat()
	now = now.Add(time.Minute)
	code, _ = get(t, h, "/healthz")
	require.Equal(t, http.StatusOK, code)
	now = now.Add(time.Second)
	code, body := get(t, h, "/healthz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "the JVM sent no heartbeat for 1m1s")
}

func TestReadyzReturnsTheReason(t *testing.T) {
	state := NewState(time.Minute, time.Now)
	h := (&Server{State: state}).Handler()
	_, body := get(t, h, "/readyz")
	require.Contains(t, body, "not ready: starting")
	state.Ready()
	code, _ := get(t, h, "/readyz")
	require.Equal(t, http.StatusOK, code)
	state.NotReady("stopping")
	code, body = get(t, h, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "stopping")
}

func TestMetricsOfTheGoProcessAndTheJVMAreServedTogether(t *testing.T) {
	registry := prometheus.NewRegistry()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "ours", Help: "x"})
	registry.MustRegister(gauge)
	s := &Server{
		State:    NewState(time.Minute, time.Now),
		Gatherer: registry,
		JVM:      func(context.Context) (string, error) { return "theirs 1\n", nil },
	}
	_, body := get(t, s.Handler(), "/metrics")
	require.Contains(t, body, "ours 0\n")
	require.Contains(t, body, "theirs 1\n")
	s.JVM = func(context.Context) (string, error) { return "", errors.New("gone") }
	code, body := get(t, s.Handler(), "/metrics")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, "ours 0\n")
}
