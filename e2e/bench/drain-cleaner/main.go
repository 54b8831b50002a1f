// Command drain-cleaner benchmarks the webhook of drain-cleaner on an embedded control plane. It measures:
//   - the latency of reviews of protected and unprotected pods at a steady rate over TLS, with the permissions of
//     Weir's base and of Strimzi's manifests, in alternating rounds with a bare TLS handler that allows every review,
//     and with the same handler after one live read of each pod that shares a namespace with Kafka pods;
//   - the latency and the wrong answers of many reviews at once;
//   - the memory of the service, the size of the binary and the time until it is ready;
//   - CPU, memory and writes with many policies.
//
// It prints the results and does not judge them. The service runs with its default API client limits.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/bench"
	"github.com/weir-dev/weir/pkg/testkit/binaries"
)

const service = "drain-cleaner"

// options are the sizes of the benchmark.
type options struct {
	rate, burst, pods int
	duration          time.Duration
	rounds            int
	// cost is the file for the cost of the policies; if it is set, nothing else is measured.
	cost                 string
	policies, namespaces int
	idle                 time.Duration
	only                 string
}

func main() {
	o := options{}
	flag.IntVar(&o.rate, "rate", 500, "reviews per second of a steady stream")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "duration of a steady stream")
	flag.IntVar(&o.burst, "burst", 5000, "number of reviews at once")
	flag.IntVar(&o.pods, "pods", 100, "number of unprotected pods that the reviews are spread over")
	flag.IntVar(&o.rounds, "rounds", bench.MinRounds, "alternating rounds of all subjects")
	flag.IntVar(&o.policies, "policies", 1000, "number of KafkaDrainPolicies with one pod each; 0 skips this part")
	flag.IntVar(&o.namespaces, "namespaces", 10, "number of namespaces that the policies are spread over")
	flag.DurationVar(&o.idle, "idle", 30*time.Second, "duration of the idle measurement")
	flag.StringVar(&o.only, "only", "", "run only the review scenarios whose name contains this, such as \"at once\"")
	flag.StringVar(&o.cost, "cost", "", "measure only the cost of the policies, once, and write it to this file")
	limit := flag.Duration("timeout", time.Hour, "time limit of the benchmark")
	bare := flag.String(
		"bare",
		"",
		"run as the bare handler, with tls.crt and tls.key in this directory (used by the benchmark itself)",
	)
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop)
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	var err error
	if *bare != "" {
		err = serveBare(ctx, *bare)
	} else {
		err = run(ctx, o)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (o options) validate() error {
	if min(o.rate, o.burst, o.pods, o.rounds, o.namespaces) < 1 || o.policies < 0 || min(o.duration, o.idle) <= 0 {
		return errors.New("-rate, -burst, -pods, -rounds, -namespaces, -duration and -idle must be greater than 0, " +
			"and -policies must not be negative")
	}
	return nil
}

func run(ctx context.Context, o options) (err error) {
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
	cp, err := testkit.Start(ctx, testkit.Options{Nodes: 2})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cp.Stop()) }()
	dir, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	e := &environment{ControlPlane: cp, root: root, dir: dir}
	if err := e.prepare(ctx, o); err != nil {
		return err
	}
	if o.cost != "" {
		return measurePolicies(ctx, o, e)
	}
	if err := measureReviews(ctx, o, e); err != nil {
		return err
	}
	size, err := os.Stat(e.program())
	if err != nil {
		return err
	}
	fmt.Printf("\nbinary %s: %.1f MiB\n", filepath.Base(e.program()), float64(size.Size())/(1<<20))
	if o.policies == 0 {
		return nil
	}
	return measurePolicies(ctx, o, e)
}
