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
		empty, _ := bench.Memory(s.PID())
		before, err := s.Metrics(ctx)
		if err != nil {
			return err
		}
		server, err := env.ServerMetrics(ctx, e.cp)
		if err != nil {
			return err
		}
		programs := bench.Programs(e.cp.Dir())
		bench.Logf("%s creates %d volumes of %d sets", service, o.volumes(), o.sets)
		times, err := e.converge(ctx, o, s)
		if err != nil {
			return err
		}
		if err := waitUntilIdle(ctx, s); err != nil {
			return err
		}
		programs = bench.Spent(programs, bench.Programs(e.cp.Dir()))
		cost := bench.Cost{Objects: o.volumes(), Seconds: times.ready.Seconds(), EmptyMiB: empty}
		cost.MiB, _ = bench.Memory(s.PID())
		after, err := s.Metrics(ctx)
		if err != nil {
			return err
		}
		cost.OtherCPUSeconds = bench.Total(programs, service).Seconds()
		cost.CPUSeconds = after.CPUSeconds() - before.CPUSeconds()
		requests, err := env.ServerMetrics(ctx, e.cp)
		if err != nil {
			return err
		}
		cost.Requests = requests.Sum("apiserver_request_total") - server.Sum("apiserver_request_total")
		return cost.Write(o.cost)
	})
}
