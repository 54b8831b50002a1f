package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/weir-dev/weir/pkg/health"
)

// serve serves /metrics, /healthz and /readyz at --metrics-address until ctx ends. /healthz reports only that the
// process responds: a restart does not fix an unavailable dependency.
func serve(ctx context.Context, o Options, registry *prometheus.Registry, c Components, logger *slog.Logger) error {
	var readiness health.Checks
	for name, check := range c.ReadyChecks {
		readiness.Add(name, check)
	}
	readiness.Add("running", func(context.Context) error { return ctx.Err() })
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.Handle("GET /healthz", &health.Checks{})
	for _, path := range append([]string{"/readyz"}, c.ReadyPaths...) {
		mux.Handle("GET "+path, &readiness)
	}
	return serveHTTP(ctx, "metrics-address", o.MetricsAddress, "serving metrics and health", mux, logger)
}

// serveProfiles serves the profiles of the Go runtime at --pprof-address until ctx ends.
func serveProfiles(ctx context.Context, o Options, logger *slog.Logger) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return serveHTTP(ctx, "pprof-address", o.PprofAddress, "serving profiles", mux, logger)
}

// serveHTTP serves handler at the address of a flag until ctx ends. It serves nothing if the address is empty.
func serveHTTP(ctx context.Context, flag, address, message string, handler http.Handler, logger *slog.Logger) error {
	if address == "" {
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("--%s=%q: %w", flag, address, err)
	}
	logger.Info(message, "address", listener.Addr().String())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		stopped <- server.Shutdown(shutdown)
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve at --%s=%q: %w", flag, address, err)
	}
	return <-stopped
}
