package csi

import (
	"context"
	"log/slog"
	"path"
	"runtime/debug"
	"time"

	"github.com/kubernetes-csi/csi-lib-utils/protosanitizer"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Metrics hold the metrics of the calls of a server.
type Metrics struct {
	seconds *prometheus.HistogramVec
	running *prometheus.GaugeVec
}

// NewMetrics registers the metrics of the calls of a server.
func NewMetrics(r prometheus.Registerer) *Metrics {
	factory := promauto.With(r)
	return &Metrics{
		seconds: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "weir_csi_call_duration_seconds",
			Help:    "Duration of CSI calls by method and gRPC status code.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		}, []string{"method", "code"}),
		running: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_csi_calls_running",
			Help: "CSI calls that are running, by method.",
		}, []string{"method"}),
	}
}

func (m *Metrics) observe(
	ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
) (any, error) {
	if m == nil {
		return handler(ctx, request)
	}
	method, begun := path.Base(info.FullMethod), time.Now()
	m.running.WithLabelValues(method).Inc()
	defer m.running.WithLabelValues(method).Dec()
	response, err := handler(ctx, request)
	m.seconds.WithLabelValues(method, status.Code(err).String()).Observe(time.Since(begun).Seconds())
	return response, err
}

// quiet are the methods that kubelet and the sidecars call all the time. They are logged only if they fail.
var quiet = map[string]bool{
	"Probe": true, "GetPluginInfo": true, "GetPluginCapabilities": true, "ControllerGetCapabilities": true,
	"NodeGetCapabilities": true, "NodeGetVolumeStats": true, "GetCapacity": true, "GetInfo": true,
}

// logCalls logs each call with its request, without the secrets. Calls that change nothing are logged at debug level.
func logCalls(log *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		method, begun := path.Base(info.FullMethod), time.Now()
		response, err := handler(ctx, request)
		level := slog.LevelInfo
		switch {
		case err != nil && isServerError(status.Code(err)):
			level = slog.LevelError
		case err != nil:
			level = slog.LevelWarn
		case quiet[method]:
			level = slog.LevelDebug
		}
		if log.Enabled(ctx, level) {
			attributes := []any{
				"method", method, "request", protosanitizer.StripSecrets(request).String(),
				"duration", time.Since(begun).Round(time.Microsecond).String(),
			}
			if err != nil {
				attributes = append(attributes, "code", status.Code(err).String(), "error", status.Convert(err).Message())
			}
			log.Log(ctx, level, "CSI call", attributes...)
		}
		return response, err
	}
}

// isServerError reports whether a code means a fault of the driver or of the storage, not of the request.
func isServerError(code codes.Code) bool {
	switch code {
	case codes.Internal, codes.Unknown, codes.DataLoss, codes.Unavailable:
		return true
	default:
		return false
	}
}

// recoverPanics turns a panic into an Internal error: one defective call does not end the others.
func recoverPanics(log *slog.Logger) grpc.UnaryServerInterceptor {
	return func(
		ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
	) (response any, err error) {
		defer func() {
			if p := recover(); p != nil {
				log.Error("panic in a CSI call", "method", path.Base(info.FullMethod), "panic", p,
					"stack", string(debug.Stack()))
				response, err = nil, status.Errorf(codes.Internal, "panic in %s; the log of the driver has the stack",
					path.Base(info.FullMethod))
			}
		}()
		return handler(ctx, request)
	}
}
