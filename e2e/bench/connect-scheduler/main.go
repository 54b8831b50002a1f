// Command connect-scheduler measures the service of that name on simulated nodes: how long many connectors take to converge,
// beside a bare client that creates the same objects; what it writes and how much memory and CPU it takes; how quiet it is when
// nothing happens; what a change touches; and how soon a failure is in the status. It prints numbers and judges none of them.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit/binaries"
)

const service = "connect-scheduler"

// options are how large it is.
type options struct {
	connectors, tasks, namespaces int
	rounds, failures              int
	workers, qps, burst           int
	idle                          time.Duration
}

func main() {
	o := options{}
	flag.IntVar(&o.connectors, "connectors", 1000, "how many connectors")
	flag.IntVar(&o.tasks, "tasks", 3, "how many tasks each of them has")
	flag.IntVar(&o.namespaces, "namespaces", 10, "how many namespaces they are spread over")
	flag.IntVar(&o.rounds, "rounds", 1, "how often service and bare client take turns, each on a fresh control plane")
	flag.IntVar(&o.failures, "failures", 100, "how many tasks fail, one after the other")
	flag.IntVar(&o.workers, "workers", 16, "the service's --workers, and how many connectors the bare client makes at the same time")
	flag.IntVar(&o.qps, "qps", 1000, "requests a second, of the service and of the bare client")
	flag.IntVar(&o.burst, "burst", 2000, "requests at once, of the service and of the bare client")
	flag.DurationVar(&o.idle, "idle", time.Minute, "how long to look on while nothing happens")
	limit := flag.Duration("timeout", time.Hour, "when to give up")
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
		return errors.New("every size must be at least 1")
	}
	return nil
}

func (o options) pods() int { return o.connectors * (o.tasks + 1) }

func run(ctx context.Context, o options) error {
	if err := o.validate(); err != nil {
		return err
	}
	root, err := env.Root()
	if err != nil {
		return err
	}
	env.Say("building %s", service)
	if err := env.Build(ctx, root, service); err != nil {
		return err
	}
	if _, err := binaries.Ensure(ctx, os.Stderr); err != nil {
		return err
	}
	var found report
	err = measure(ctx, o, root, &found)
	// What was measured before something failed is worth knowing too.
	if len(found.rounds) > 0 {
		found.print(os.Stdout, o)
	}
	return err
}

func measure(ctx context.Context, o options, root string, found *report) error {
	var made objects
	for round := range o.rounds {
		with, err := withService(ctx, o, root, round == 0, found, &made)
		if with.converged > 0 {
			found.rounds = append(found.rounds, [2]side{with})
		}
		if err != nil {
			return fmt.Errorf("with the service: %w", err)
		}
		if found.rounds[round][1], err = bare(ctx, o, root, made); err != nil {
			return fmt.Errorf("with the bare client: %w", err)
		}
	}
	return nil
}

// ratio is of two durations; 0 where the second is.
func ratio(a, b time.Duration) float64 {
	return a.Seconds() / cmp.Or(b.Seconds(), 1)
}
