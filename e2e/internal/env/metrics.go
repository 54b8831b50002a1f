package env

import (
	"context"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/bench"
)

// Metrics scrapes the metrics of the service.
func (s *Service) Metrics(ctx context.Context) (bench.Metrics, error) {
	return Scrape(ctx, s.address)
}

// Scrape scrapes the metrics of a service at a host:port address.
func Scrape(ctx context.Context, address string) (bench.Metrics, error) {
	body, err := get(ctx, address, "/metrics")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return bench.ParseMetrics(body)
}

// ServerMetrics scrapes the metrics of the API server.
func ServerMetrics(ctx context.Context, cp *testkit.ControlPlane) (bench.Metrics, error) {
	return bench.ServerMetrics(ctx, cp.Client().Discovery().RESTClient())
}
