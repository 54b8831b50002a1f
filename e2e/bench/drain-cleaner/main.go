// Command drain-cleaner measures the webhook of that name: how long reviews of a protected pod take at a steady rate over TLS, beside
// a bare TLS handler that allows everything and decides nothing; how much memory it takes, at rest and under many policies; how large
// the program is, and how soon it is ready. It prints numbers and judges none of them.
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
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/bench"
	"github.com/weir-dev/weir/pkg/testkit/binaries"
)

const service = "drain-cleaner"

type options struct {
	rate     int
	duration time.Duration
	rounds   int

	policies, namespaces int
	idle                 time.Duration
}

func main() {
	o := options{}
	flag.IntVar(&o.rate, "rate", 500, "reviews a second")
	flag.DurationVar(&o.duration, "duration", 20*time.Second, "how long each stream lasts")
	flag.IntVar(&o.rounds, "rounds", 3, "how often the webhook and the bare handler take turns")
	flag.IntVar(&o.policies, "policies", 1000, "how many KafkaDrainPolicies with a pod each it is given in the end; 0 for none")
	flag.IntVar(&o.namespaces, "namespaces", 10, "how many namespaces they are spread over")
	flag.DurationVar(&o.idle, "idle", 30*time.Second, "how long to look on while nothing happens")
	limit := flag.Duration("timeout", 10*time.Minute, "when to give up")
	bare := flag.String("bare", "", "directory of tls.crt and tls.key: be the bare handler; the benchmark starts itself so")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop)
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	err := error(nil)
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

func run(ctx context.Context, o options) (err error) {
	if min(o.rate, o.rounds, o.namespaces) < 1 || o.policies < 0 || min(o.duration, o.idle) <= 0 {
		return errors.New("-rate, -rounds, -namespaces, -duration and -idle must be more than 0, and -policies not less")
	}
	root, err := env.Root()
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "building "+service)
	if err := env.Build(ctx, root, service); err != nil {
		return err
	}
	if _, err := binaries.Ensure(ctx, os.Stderr); err != nil {
		return err
	}
	cp, err := testkit.Start(ctx, testkit.Options{Nodes: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cp.Stop()) }()
	dir, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	review, err := prepare(ctx, cp, root, dir)
	if err != nil {
		return err
	}

	fmt.Printf("%d reviews a second for %s, over TLS on loopback; %d rounds\n", o.rate, o.duration, o.rounds)
	fmt.Printf("%-16s %9s %9s %9s %9s %8s %7s\n", "", "p50", "p90", "p99", "max", "reviews", "errors")
	for range o.rounds {
		for _, start := range []func(context.Context, string) (*subject, error){startBare, startService(root, cp)} {
			if err := measure(ctx, o, start, dir, review); err != nil {
				return err
			}
		}
	}
	size, err := os.Stat(program(root))
	if err != nil {
		return err
	}
	fmt.Printf("program %.1f MiB\n", float64(size.Size())/(1<<20))
	if o.policies == 0 {
		return nil
	}
	return many(ctx, o, cp, root, dir)
}

func measure(ctx context.Context, o options, start func(context.Context, string) (*subject, error), dir string, review []byte) (err error) {
	began := time.Now()
	s, err := start(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	ready := time.Since(began)
	// A short stream first: the first reviews make connections and events.
	if _, err := stream(ctx, o.rate, 2*time.Second, s, dir, review); err != nil {
		return err
	}
	idle, _ := bench.Memory(s.pid())
	l, err := stream(ctx, o.rate, o.duration, s, dir, review)
	if err != nil {
		return err
	}
	after, _ := bench.Memory(s.pid())
	fmt.Printf("%-16s %9s %9s %9s %9s %8d %7d   ready in %s, resident %.1f MiB, then %.1f MiB\n", s.name,
		l.quantile(.5), l.quantile(.9), l.quantile(.99), l.quantile(1), len(l.took), l.failed, ready.Round(time.Millisecond), idle, after)
	return nil
}
