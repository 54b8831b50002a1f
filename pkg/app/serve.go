package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/weir-dev/weir/pkg/health"
)

// serve answers /metrics, /healthz and /readyz until ctx ends. /healthz only says that the process answers: whether an
// outside system is well is no reason to restart it.
func serve(ctx context.Context, o Options, registry *prometheus.Registry, plan Components, logger *slog.Logger) error {
	if o.MetricsAddress == "" {
		return nil
	}
	var readiness health.Checks
	for name, check := range plan.ReadyChecks {
		readiness.Add(name, check)
	}
	readiness.Add("running", func(context.Context) error { return ctx.Err() })
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.Handle("GET /healthz", &health.Checks{})
	for _, path := range append([]string{"/readyz"}, plan.ReadyPaths...) {
		mux.Handle("GET "+path, &readiness)
	}

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.MetricsAddress)
	if err != nil {
		return fmt.Errorf("--metrics-address=%q: %w", o.MetricsAddress, err)
	}
	logger.Info("serving metrics and health", "address", listener.Addr().String())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		stopped <- server.Shutdown(last)
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return <-stopped
}
