package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit/bench"
)

// usage is what a process has used in a period without changes.
type usage struct {
	writes, renewals, reconciles, cpu float64
}

func total(writes map[string]float64) float64 {
	sum := 0.0
	for _, n := range writes {
		sum += n
	}
	return sum
}

// idle measures a process for a duration.
func idle(ctx context.Context, s *env.Service, duration time.Duration) (usage, error) {
	bench.Logf("measuring an idle process for %s", duration)
	before, err := s.Metrics(ctx)
	if err != nil {
		return usage{}, err
	}
	if err := bench.Sleep(ctx, duration); err != nil {
		return usage{}, err
	}
	after, err := s.Metrics(ctx)
	if err != nil {
		return usage{}, err
	}
	writesBefore, renewalsBefore := before.Writes()
	writesAfter, renewalsAfter := after.Writes()
	sum := func(name string) float64 { return after.Sum(name) - before.Sum(name) }
	return usage{
		writes: total(writesAfter) - total(writesBefore), renewals: renewalsAfter - renewalsBefore,
		reconciles: sum("weir_reconciles_total"), cpu: sum("process_cpu_seconds_total"),
	}, nil
}

// waitUntilIdle waits until the service has neither written nor reconciled for 2 seconds.
func waitUntilIdle(ctx context.Context, s *env.Service) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	var last float64
	for unchanged := 0; unchanged < 2; {
		metrics, err := s.Metrics(ctx)
		if err != nil {
			return err
		}
		writes, _ := metrics.Writes()
		now := total(writes) + metrics.Sum("weir_reconciles_total")
		if unchanged++; now != last {
			unchanged = 0
		}
		last = now
		if err := bench.Sleep(ctx, time.Second); err != nil {
			return fmt.Errorf("wait until %s is idle: %w", service, err)
		}
	}
	return nil
}

// load is what the API server has done.
type load struct {
	// requests are those of all clients by verb and resource.
	requests map[string]float64
	cpu      float64
}

// loadSince returns the load since an earlier scrape, without the requests that a control plane with nodes makes all
// the time. It waits for those that the binder makes for n PersistentVolumes.
func (e *environment) loadSince(ctx context.Context, before bench.Metrics, n int) (load, error) {
	if err := e.pvsAvailable(ctx, n); err != nil {
		return load{}, err
	}
	after, err := env.ServerMetrics(ctx, e.cp)
	if err != nil {
		return load{}, err
	}
	found, earlier := map[string]float64{}, before.Requests()
	for kind, total := range after.Requests() {
		verb, resource, _ := strings.Cut(kind, " ")
		resource, _, _ = strings.Cut(resource, " ")
		switch {
		case resource == "" || resource == "leases" || resource == "nodes" || verb == "watch" || verb == "list":
		case total > earlier[kind]:
			found[kind] = total - earlier[kind]
		}
	}
	const cpu = "process_cpu_seconds_total"
	return load{found, after.Sum(cpu) - before.Sum(cpu)}, nil
}

// setCounts records the writes and reconciles between two scrapes.
func (r *report) setCounts(before, after bench.Metrics) {
	writesBefore, _ := before.Writes()
	r.writes, _ = after.Writes()
	for kind, n := range writesBefore {
		r.writes[kind] -= n
	}
	sum := func(name string) float64 { return after.Sum(name) - before.Sum(name) }
	r.reconciles, r.waits = sum("weir_reconciles_total"), sum("weir_reconciles_deferred_total")
	r.cpu = sum("process_cpu_seconds_total")
}
