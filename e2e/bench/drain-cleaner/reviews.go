package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit/bench"
)

// scenario is a load that every subject gets in each round.
type scenario struct {
	name string
	load func(s *subject) load
	// send sends the load.
	send func(ctx context.Context, l load, s *subject) (*answers, error)
}

// result are the measurements of a scenario and a subject, one per round.
type result struct {
	p50, p99, max, peak bench.Values
	// requests are the API requests of all clients, cpu and serverCPU the milliseconds of CPU time of the subject and of
	// the API server, all per review. They depend less than latencies on what else the machine does.
	requests, cpu, serverCPU bench.Values
	reviews                  int
	wrong                    map[string]int
}

// measureReviews runs all scenarios against all subjects, and prints the results.
func measureReviews(ctx context.Context, o options, e *environment) error {
	protected := func(s *subject) load { return load{reviews: e.protected, allowed: !s.protects} }
	unprotected := func(*subject) load { return load{reviews: e.unprotected, allowed: true} }
	stream := func(ctx context.Context, l load, s *subject) (*answers, error) {
		return l.stream(ctx, s, o.rate, o.duration)
	}
	burst := func(ctx context.Context, l load, s *subject) (*answers, error) {
		return l.burst(ctx, s, o.burst)
	}
	scenarios := []scenario{
		{fmt.Sprintf("protected pod, %d/s", o.rate), protected, stream},
		{fmt.Sprintf("unprotected pods, %d/s", o.rate), unprotected, stream},
		{fmt.Sprintf("unprotected pods, %d at once", o.burst), unprotected, burst},
	}
	scenarios = slices.DeleteFunc(scenarios, func(s scenario) bool { return !strings.Contains(s.name, o.only) })
	results := map[string]*result{}
	startups := map[string]bench.Values{}
	var order []string
	for _, scenario := range scenarios {
		measure := func(start starter) func(int) error {
			return func(round int) (err error) {
				s, err := start(ctx)
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, s.stop()) }()
				bench.Logf("round %d: %s: %s", round+1, scenario.name, s.name)
				key := fmt.Sprintf("%-32s %-22s", scenario.name, s.name)
				if results[key] == nil {
					results[key], order = &result{wrong: map[string]int{}}, append(order, key)
				}
				startups[s.name] = append(startups[s.name], s.startup.Seconds())
				return results[key].measure(ctx, e, scenario, s)
			}
		}
		if err := bench.Rounds(o.rounds, measure(e.startBare), measure(e.startReading), measure(e.startWeir),
			measure(e.startStrimzi)); err != nil {
			return err
		}
	}
	fmt.Printf("latency in ms over TLS on loopback, %d rounds: median (smallest to largest)\n", o.rounds)
	fmt.Printf("%-55s %-28s %-28s %-28s %-24s %s\n", "", "p50", "p99", "max", "peak MiB", "wrong answers")
	for _, key := range order {
		r := results[key]
		fmt.Printf("%s %-28s %-28s %-28s %-24s %s\n", key, r.p50.Summary("%.2f"), r.p99.Summary("%.2f"),
			r.max.Summary("%.1f"), r.peak.Summary("%.1f"), r.wrongSummary())
	}
	fmt.Printf("\n%-55s %-28s %-28s %s\n", "per review", "API requests", "CPU ms", "CPU ms of the API server")
	for _, key := range order {
		r := results[key]
		fmt.Printf("%s %-28s %-28s %s\n", key, r.requests.Summary("%.2f"), r.cpu.Summary("%.2f"),
			r.serverCPU.Summary("%.2f"))
	}
	fmt.Println("\nseconds until ready")
	for _, name := range []string{"bare handler", "handler that reads", "weir's permissions", "strimzi's permissions"} {
		fmt.Printf("%-22s %s\n", name, startups[name].Summary("%.2f"))
	}
	return nil
}

func (r *result) measure(ctx context.Context, e *environment, sc scenario, s *subject) error {
	l := sc.load(s)
	var err error
	if s.client, err = newClient(e.dir); err != nil {
		return err
	}
	defer s.client.CloseIdleConnections()
	// The first reviews open connections and fill caches.
	if _, err := l.stream(ctx, s, 100, time.Second); err != nil {
		return err
	}
	server, err := env.ServerMetrics(ctx, e.ControlPlane)
	if err != nil {
		return err
	}
	cpu := bench.CPU(s.pid())
	a, err := sc.send(ctx, l, s)
	if err != nil {
		return err
	}
	cpu = bench.CPU(s.pid()) - cpu
	after, err := env.ServerMetrics(ctx, e.ControlPlane)
	if err != nil {
		return err
	}
	perReview := func(n float64) float64 { return n / float64(len(a.milliseconds)+a.wrongCount()) }
	increase := func(name string) float64 { return after.Sum(name) - server.Sum(name) }
	r.requests = append(r.requests, perReview(increase("apiserver_request_total")))
	r.cpu = append(r.cpu, perReview(1000*cpu))
	r.serverCPU = append(r.serverCPU, perReview(1000*increase("process_cpu_seconds_total")))
	_, peak := bench.Memory(s.pid())
	r.peak = append(r.peak, peak)
	r.reviews += len(a.milliseconds) + a.wrongCount()
	for cause, n := range a.wrong {
		r.wrong[cause] += n
	}
	if len(a.milliseconds) > 0 {
		r.p50 = append(r.p50, a.milliseconds.Percentile(50))
		r.p99 = append(r.p99, a.milliseconds.Percentile(99))
		r.max = append(r.max, a.milliseconds.Percentile(100))
	}
	return nil
}

func (r *result) wrongSummary() string {
	n := 0
	for _, count := range r.wrong {
		n += count
	}
	if n == 0 {
		return fmt.Sprintf("0 of %d", r.reviews)
	}
	return fmt.Sprintf("%d of %d: %v", n, r.reviews, r.wrong)
}
