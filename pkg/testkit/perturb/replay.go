package perturb

import (
	"cmp"
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

const (
	// sampledKills is the default of Scenario.Kills.
	sampledKills = 6
	// maxFailures is the number of failures after which no more runs are started.
	maxFailures = 8
)

// Replay runs the scenario unperturbed and then with perturbations. It fails the test for each run whose final objects
// differ from those of the unperturbed run.
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

// Run is Replay without a test. It returns an error if the scenario fails unperturbed.
func Run(ctx context.Context, cp *testkit.ControlPlane, s Scenario, mode Mode) (Report, error) {
	if s.PauseDuration == 0 {
		s.PauseDuration = time.Second
	}
	if s.Parallel == 0 {
		s.Parallel = 4
	}
	start := time.Now()
	report := Report{Scenario: s.Name, Runs: map[Kind]int{}}
	reference, err := s.once(ctx, cp, unperturbed(), nil)
	report.Writes = reference.all()
	if err != nil {
		return report, fmt.Errorf("scenario %q unperturbed: %w\nits writes: %v", s.Name, err, report.Writes)
	}
	if _, err := s.once(ctx, cp, unperturbed(), reference.objects); err != nil {
		return report, fmt.Errorf(
			"two unperturbed runs of scenario %q have different results; a normalizer may be missing: %w", s.Name, err)
	}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.Parallel)
	for _, p := range s.perturbations(reference, mode) {
		group.Go(func() error {
			mu.Lock()
			enough := len(report.Failures) >= maxFailures
			mu.Unlock()
			if enough || ctx.Err() != nil {
				return ctx.Err()
			}
			result, err := s.once(ctx, cp, p, reference.objects)
			mu.Lock()
			defer mu.Unlock()
			report.Runs[p.kind]++
			if err != nil {
				report.Failures = append(report.Failures, Failure{p.kind, p.String(), err, result.all()})
			}
			return nil
		})
	}
	err = group.Wait()
	report.Duration = time.Since(start)
	return report, err
}

// result is the outcome of one run.
type result struct {
	objects   snapshot.Snapshot
	processes []string
	// writes by process.
	writes map[string][]transport.Write
}

func (r result) all() []transport.Write {
	var all []transport.Write
	for _, name := range r.processes {
		all = append(all, r.writes[name]...)
	}
	return all
}

func (s Scenario) perturbations(reference result, mode Mode) []perturbation {
	var all []perturbation
	for _, process := range reference.processes {
		writes := reference.writes[process]
		kills, stales, steps := len(writes), len(writes), len(s.Steps)
		if mode == Sample {
			kills = cmp.Or(s.Kills, sampledKills)
			stales, steps = (kills+2)/3, (kills+2)/3
		}
		for _, i := range spread(len(writes), kills) {
			all = append(all, killed(process, i+1, writes[i]))
		}
		for _, i := range spread(len(writes), stales) {
			all = append(all, pausedCache(process, i+1, writes[i], s.PauseDuration),
				staleCache(process, i+1, writes[i], s.PauseDuration))
		}
		all = append(all, delayed(process, s.PauseDuration/2), repeatedlyDroppedEvents(process, s.PauseDuration/4))
		for _, i := range spread(len(s.Steps), steps) {
			all = append(all, droppedEvents(process, i, s.Steps[i].Name, s.PauseDuration))
		}
	}
	return all
}

// spread returns at most k of the numbers below n: the first, the last, and evenly distributed ones between. One number
// is the middle.
func spread(n, k int) []int {
	if k == 1 && n > 0 {
		return []int{n / 2}
	}
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

// once runs the scenario in a new namespace. If want is not nil, the final objects must equal it.
func (s Scenario) once(
	ctx context.Context, cp *testkit.ControlPlane, p perturbation, want snapshot.Snapshot,
) (got result, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := env.New(ctx, cp, s.Name, s.Subject)
	if err != nil {
		return got, err
	}
	defer func() {
		err = errors.Join(err, r.Close())
		got.processes, got.writes = r.Processes(), map[string][]transport.Write{}
		for _, name := range got.processes {
			got.writes[name] = r.Writes(name)
		}
	}()
	p.startAll(ctx, r)
	for i, step := range s.Steps {
		if p.beforeStep != nil {
			p.beforeStep(r, i)
		}
		if err := s.run(ctx, step, r); err != nil {
			return got, fmt.Errorf("step %d (%s): %w", i+1, step.Name, err)
		}
	}
	if p.afterSteps != nil {
		p.afterSteps(r)
	}
	err = r.WaitStable(ctx, func(ctx context.Context) error {
		if s.Done != nil {
			if err := s.Done(ctx, r.Env); err != nil {
				return err
			}
		}
		current, err := r.Snapshot(ctx)
		if err != nil {
			return err
		}
		expected := want
		if expected == nil {
			// The reference run only has to reach a stable state.
			expected = got.objects
		}
		got.objects = current
		if difference := expected.Diff(current); difference != "" {
			return fmt.Errorf("the objects differ:\n%s", difference)
		}
		return nil
	})
	return got, err
}

func (s Scenario) run(ctx context.Context, step Step, r *env.Runner) error {
	deadline := s.Deadline
	if deadline == 0 {
		deadline = time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	err := step.Run(ctx, r.Env)
	// If a process has returned, its error explains the failure of the step.
	return errors.Join(err, r.Err())
}
