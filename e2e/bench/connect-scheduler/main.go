// Command connect-scheduler benchmarks connect-scheduler on simulated nodes. It measures:
//   - the time until many connectors are Ready, in alternating rounds with a bare client that creates the same objects;
//   - the API writes, memory and CPU of the service;
//   - the API writes and reconciles of an idle service;
//   - the effect of one added, changed or deleted connector on all others;
//   - the latency from a task failure to the status.
//
// It prints the results and does not judge them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit/bench"
	"github.com/weir-dev/weir/pkg/testkit/binaries"
)

const service = "connect-scheduler"

// options are the sizes of the benchmark.
type options struct {
	connectors, tasks, namespaces int
	rounds, failures              int
	workers, qps, burst           int
	idle                          time.Duration
	// cost is the file for the cost of the connectors; if it is set, nothing else is measured.
	cost string
}

func main() {
	o := options{}
	flag.IntVar(&o.connectors, "connectors", 1000, "number of connectors")
	flag.IntVar(&o.tasks, "tasks", 3, "tasks per connector")
	flag.IntVar(&o.namespaces, "namespaces", 10, "number of namespaces that the connectors are spread over")
	flag.IntVar(
		&o.rounds,
		"rounds",
		bench.MinRounds,
		"alternating rounds of service and bare client, each on a fresh control plane",
	)
	flag.IntVar(&o.failures, "failures", 100, "number of tasks that fail, one after the other")
	flag.IntVar(
		&o.workers,
		"workers",
		16,
		"--workers of the service, and connectors that the bare client creates in parallel",
	)
	flag.IntVar(&o.qps, "qps", 1000, "API requests per second of the service and of the bare client")
	flag.IntVar(&o.burst, "burst", 2000, "burst of API requests of the service and of the bare client")
	flag.DurationVar(&o.idle, "idle", time.Minute, "duration of the idle measurement")
	flag.StringVar(&o.cost, "cost", "", "measure only the cost of the connectors, once, and write it to this file")
	limit := flag.Duration("timeout", 2*time.Hour, "time limit of the benchmark")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop)
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (o options) validate() error {
	if min(o.connectors, o.tasks, o.namespaces, o.rounds, o.workers, o.qps, o.burst) < 1 {
		return errors.New("-connectors, -tasks, -namespaces, -rounds, -workers, -qps and -burst must be at least 1")
	}
	return nil
}

// pods returns the number of pods: one per connector and one per task.
func (o options) pods() int { return o.connectors * (o.tasks + 1) }

// namespace returns the namespace of a connector.
func (o options) namespace(connector int) string {
	return fmt.Sprintf("bench-%02d", connector%o.namespaces)
}

func run(ctx context.Context, o options) error {
	if err := o.validate(); err != nil {
		return err
	}
	root, err := env.Root()
	if err != nil {
		return err
	}
	bench.Logf("building %s", service)
	if err := env.Build(ctx, root, service); err != nil {
		return err
	}
	if _, err := binaries.Ensure(ctx, os.Stderr); err != nil {
		return err
	}
	var r report
	if o.cost != "" {
		_, err := runService(ctx, o, root, true, &r, nil)
		return err
	}
	err = measure(ctx, o, root, &r)
	// Completed measurements are printed even after an error.
	if len(r.service) > 0 {
		r.print(os.Stdout, o)
	}
	return err
}

// measure runs all rounds. In the first round the service comes first: the bare client creates copies of its objects.
func measure(ctx context.Context, o options, root string, r *report) error {
	var created objects
	return bench.Rounds(o.rounds,
		func(round int) error {
			side, err := runService(ctx, o, root, round == 0, r, &created)
			if side.converged > 0 {
				r.service = append(r.service, side)
			}
			if err != nil {
				return fmt.Errorf("service: %w", err)
			}
			return nil
		},
		func(int) error {
			side, err := runBareClient(ctx, o, root, created)
			if err != nil {
				return fmt.Errorf("bare client: %w", err)
			}
			r.bare = append(r.bare, side)
			return nil
		},
	)
}
