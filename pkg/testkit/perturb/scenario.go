// Package perturb replays a scenario while it perturbs the service under test, and requires the same final objects as
// in the unperturbed run, field by field:
//
//   - Intermediate states: a process is killed after each of its writes in turn, and restarted.
//   - Stale states: the caches of a process are delayed, paused, or come from the past after a restart.
//   - Unobserved states: a process misses watch events until its caches list again.
//
// A service may have several processes, each with its own ServiceAccount. They are perturbed one at a time.
//
// The idea is that of Sieve (Sun et al., OSDI '22).
package perturb

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/weir-dev/weir/pkg/testkit/env"
	"github.com/weir-dev/weir/pkg/testkit/snapshot"
	"github.com/weir-dev/weir/pkg/testkit/transport"
)

type (
	// Env is the environment of a step.
	Env = env.Env
	// Subject is the service under test.
	Subject = env.Subject
	// Process is one process of the service under test.
	Process = env.Process
	// Listing is a kind of object to compare.
	Listing = snapshot.Listing
)

// Scenario is a sequence of steps and the condition for their result.
type Scenario struct {
	Name string
	Subject
	Steps []Step
	// Done returns an error while the service has not processed the steps; optional.
	Done func(context.Context, Env) error
	// PauseDuration is how long watches are paused and events are dropped; the default is 1 s. It must be long enough
	// for a wrong service to act on its stale caches.
	PauseDuration time.Duration
	// Parallel is the number of concurrent runs, each in its own namespace; the default is 4.
	Parallel int
	// Kills is the number of times that each process is killed in mode Sample, of all its writes; the default is 6. It
	// gets stale caches, and misses events, a third as often.
	Kills int
}

// Step changes objects or waits for a condition.
type Step struct {
	Name string
	Run  func(context.Context, Env) error
}

// Apply returns a step that applies a YAML stream to the namespace.
func Apply(name, stream string) Step {
	return Step{Name: name, Run: func(ctx context.Context, env Env) error {
		_, err := env.ApplyYAML(ctx, env.Namespace, stream)
		return err
	}}
}

// Mode determines how many of the possible perturbations are run.
type Mode string

const (
	// Full runs every perturbation at every write.
	Full Mode = "full"
	// Sample runs some perturbations of each kind, always the same ones.
	Sample Mode = "sample"
)

// ModeFor returns the mode in the environment variable WEIR_PERTURB. The default is Sample for short tests, else Full.
func ModeFor(short bool) (Mode, error) {
	switch mode := Mode(os.Getenv("WEIR_PERTURB")); {
	case mode == Full || mode == Sample:
		return mode, nil
	case mode != "":
		return "", fmt.Errorf("WEIR_PERTURB=%q: must be full or sample", mode)
	case short:
		return Sample, nil
	}
	return Full, nil
}

// Report is the result of a scenario's runs.
type Report struct {
	Scenario string
	// Writes are those of the unperturbed run, process by process.
	Writes []transport.Write
	// Runs is the number of perturbed runs by kind.
	Runs map[Kind]int
	// Failures are the runs whose final objects differ from the unperturbed run.
	Failures []Failure
	Duration time.Duration
}

// Failure is a run whose final objects differ from the unperturbed run.
type Failure struct {
	Kind         Kind
	Perturbation string
	Err          error
	// Writes are those of all processes and their instances.
	Writes []transport.Write
}

func (f Failure) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s state: %s: %v\nits writes:", f.Kind, f.Perturbation, f.Err)
	const most = 60
	for i, w := range f.Writes {
		if i == most {
			fmt.Fprintf(&b, "\n  … and %d more", len(f.Writes)-most)
			break
		}
		fmt.Fprintf(&b, "\n  %d. %s", w.N, w)
	}
	return b.String()
}

func (r Report) String() string {
	total := 0
	for _, n := range r.Runs {
		total += n
	}
	end := "all had the same final objects"
	if len(r.Failures) > 0 {
		end = fmt.Sprintf("%d failed", len(r.Failures))
	}
	return fmt.Sprintf(
		"perturbation: scenario %q: %d runs (%d intermediate, %d stale, %d unobserved), %s; %d writes unperturbed; "+
			"%.1f s",
		r.Scenario,
		total,
		r.Runs[Intermediate],
		r.Runs[Stale],
		r.Runs[Unobserved],
		end,
		len(r.Writes),
		r.Duration.Seconds(),
	)
}
