package main

import (
	"context"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit/bench"
)

// measureCost writes what the volumes cost until all sets are Ready.
func measureCost(ctx context.Context, o options, root string) error {
	// The number of nodes grows with the volumes, as in a cluster.
	o.nodes = max(1, o.volumes()/100)
	return withService(ctx, o, root, func(e *environment, s *env.Service) error {
		if err := waitUntilIdle(ctx, s); err != nil {
			return err
		}
		bench.Logf("%s creates %d volumes of %d sets", service, o.volumes(), o.sets)
		var seconds float64
		cost, err := env.MeasureCost(ctx, e.cp, service, s.PID(), func() error {
			times, err := e.converge(ctx, o, s)
			if err != nil {
				return err
			}
			seconds = times.ready.Seconds()
			return waitUntilIdle(ctx, s)
		})
		if err != nil {
			return err
		}
		cost.Objects, cost.Seconds = o.volumes(), seconds
		return cost.Write(o.cost)
	})
}
