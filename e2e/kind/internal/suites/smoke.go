package suites

import (
	"context"
	"fmt"
	"time"

	"github.com/weir-dev/weir/e2e/kind/internal/suite"
	"github.com/weir-dev/weir/e2e/kind/internal/world"
)

func (h *here) smoke(ctx context.Context, p *suite.Proof) error {
	const namespace = "e2e-smoke"
	err := steps(ctx, p, []step{
		{"kubectl apply -k deploy/connect-scheduler is all that connect-scheduler needs", patience, func(ctx context.Context) (string, error) {
			return "2 replicas available", h.install(ctx, "connect-scheduler", "connect-scheduler")
		}},
		{"kubectl apply -k deploy/drain-cleaner is all that drain-cleaner needs", patience, func(ctx context.Context) (string, error) {
			return "2 replicas available", h.install(ctx, "drain-cleaner", "weir-drain-cleaner")
		}},
		{"a Kafka broker runs in the cluster", setup, func(ctx context.Context) (string, error) {
			return "it makes topics", h.oneBroker(ctx, namespace)
		}},
	})
	if err != nil {
		return err
	}
	return p.Step(ctx, "a connector's pods get ready on real kubelets, and it moves records", patience, func(ctx context.Context) (string, error) {
		applied := time.Now()
		if err := h.ApplyFile(ctx, namespace, "file-source.yaml"); err != nil {
			return "", err
		}
		if err := world.Until(ctx, "the first record", func(ctx context.Context) error {
			tally, err := h.Count(ctx, namespace, "lines")
			if err == nil && tally.Records == 0 {
				err = h.why(ctx, namespace, "lines")
			}
			return err
		}); err != nil {
			return "", err
		}
		first := time.Since(applied)
		_, err := h.Connector(ctx, namespace, "lines", world.Running(1))
		return fmt.Sprintf("first record %.1f s after kubectl apply", first.Seconds()), err
	})
}
