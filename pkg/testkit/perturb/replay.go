package perturb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/env"
	"github.com/weir-dev/weir/pkg/testkit/snapshot"
	"github.com/weir-dev/weir/pkg/testkit/transport"
)

// How many of each kind Sample runs, and after how many failures no more are looked for.
const (
	sampledKills  = 6
	sampledStale  = 2
	sampledSteps  = 2
	failureEnough = 8
)

// Replay runs the scenario undisturbed and then under disturbances, and fails the test for each run that ends otherwise.
func Replay(t testing.TB, cp *testkit.ControlPlane, s Scenario) Report {
	t.Helper()
	mode, err := ModeFor(testing.Short())
	if err != nil {
		t.Fatal(err)
	}
	report, err := Run(t.Context(), cp, s, mode)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Failures {
		t.Errorf("scenario %q, %s", s.Name, f)
	}
	t.Log(report)
	return report
}

// Run is Replay outside of a test. An error means that the scenario does not even work undisturbed.
func Run(ctx context.Context, cp *testkit.ControlPlane, s Scenario, mode Mode) (Report, error) {
	if s.PauseDuration == 0 {
		s.PauseDuration = time.Second
	}
	if s.Parallel == 0 {
		s.Parallel = 4
	}
	began := time.Now()
	report := Report{Scenario: s.Name, Runs: map[Kind]int{}}
	want, writes, err := s.once(ctx, cp, undisturbed(), nil)
	if err != nil {
		return report, fmt.Errorf("scenario %q undisturbed: %w\nits writes: %v", s.Name, err, writes)
	}
	report.Writes = writes
	if _, _, err := s.once(ctx, cp, undisturbed(), want); err != nil {
		return report, fmt.Errorf("scenario %q undisturbed does not end twice in the same objects; a normalizer may be missing: %w", s.Name, err)
	}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.Parallel)
	for _, d := range s.disturbances(writes, mode) {
		group.Go(func() error {
			mu.Lock()
			enough := len(report.Failures) >= failureEnough
			mu.Unlock()
			if enough || ctx.Err() != nil {
				return ctx.Err()
			}
			_, writes, err := s.once(ctx, cp, d, want)
			mu.Lock()
			defer mu.Unlock()
			report.Runs[d.kind]++
			if err != nil {
				report.Failures = append(report.Failures, Failure{d.kind, d.what, err, writes})
			}
			return nil
		})
	}
	err = group.Wait()
	report.Duration = time.Since(began)
	return report, err
}

func (s Scenario) disturbances(writes []transport.Write, mode Mode) []disturbance {
	kills, stales, steps := len(writes), len(writes), len(s.Steps)
	if mode == Sample {
		kills, stales, steps = sampledKills, sampledStale, sampledSteps
	}
	var all []disturbance
	for _, i := range spread(len(writes), kills) {
		all = append(all, killed(i+1, writes[i]))
	}
	for _, i := range spread(len(writes), stales) {
		all = append(all, frozen(i+1, writes[i], s.PauseDuration), rewound(i+1, writes[i], s.PauseDuration))
	}
	all = append(all, lagging(s.PauseDuration/2), blinking(s.PauseDuration/4))
	for _, i := range spread(len(s.Steps), steps) {
		all = append(all, blinded(i, s.Steps[i].Name, s.PauseDuration))
	}
	return all
}

// spread picks at most k of the numbers below n: the first, the last, and evenly between.
func spread(n, k int) []int {
	if k >= n {
		k = n
	}
	picked := make([]int, k)
	for i := range picked {
		if k > 1 {
			picked[i] = i * (n - 1) / (k - 1)
		}
	}
	return picked
}

// once plays the scenario to its end, in a world of its own, and compares what comes out with what is wanted.
func (s Scenario) once(ctx context.Context, cp *testkit.ControlPlane, d disturbance, want snapshot.Snapshot) (got snapshot.Snapshot, writes []transport.Write, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := env.New(ctx, cp, s.Name, s.Subject)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	d.start(ctx, w)
	for i, step := range s.Steps {
		if d.step != nil {
			d.step(w, i)
		}
		if err := s.run(ctx, step, w); err != nil {
			return nil, w.Writes(), fmt.Errorf("step %d (%s): %w", i+1, step.Name, err)
		}
	}
	if d.end != nil {
		d.end(w)
	}
	err = w.WaitStable(ctx, func(ctx context.Context) error {
		if s.Done != nil {
			if err := s.Done(ctx, w.Env); err != nil {
				return err
			}
		}
		now, err := w.Snapshot(ctx)
		if err != nil {
			return err
		}
		compared := want
		if compared == nil {
			// Nothing is wanted yet but that it no longer changes.
			compared = got
		}
		got = now
		if difference := compared.Diff(now); difference != "" {
			return fmt.Errorf("the objects differ:\n%s", difference)
		}
		return nil
	})
	return got, w.Writes(), err
}

func (s Scenario) run(ctx context.Context, step Step, w *env.Runner) error {
	deadline := s.Deadline
	if deadline == 0 {
		deadline = time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	err := step.Run(ctx, w.Env)
	// Why the service has ended says more than what the step was waiting for.
	return errors.Join(err, w.Err())
}
