// Package perturb replays a scenario while the service in it is disturbed, and holds it to the same end: killed after each of
// its writes in turn (intermediate states), with caches that lag, stand still or come from the past (stale states), and with watch
// events lost until a relist (unobserved states). The final objects must equal, field by field, those of the undisturbed run.
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
	// Env is where a step acts.
	Env = env.Env
	// Subject is the service under test.
	Subject = env.Subject
	// Listing is a kind of object to compare.
	Listing = snapshot.Listing
)

// Scenario is a story about the service: what is done to it, and when it has done its part.
type Scenario struct {
	Name string
	Subject
	Steps []Step
	// Done, if set, tells why the service is not done yet after the steps.
	Done func(context.Context, Env) error
	// Hold is how long caches stand still and events get lost; a second unless set. In this time the service
	// must be able to do what it would do wrong.
	PauseDuration time.Duration
	// Parallel is how many replays run at a time, each in a namespace of its own; 4 unless set.
	Parallel int
}

// Step is something done to the world: apply, wait until, change, delete.
type Step struct {
	Name string
	Run  func(context.Context, Env) error
}

// Apply is the step of applying a YAML stream to the namespace.
func Apply(name, stream string) Step {
	return Step{Name: name, Run: func(ctx context.Context, env Env) error {
		_, err := env.ApplyYAML(ctx, env.Namespace, stream)
		return err
	}}
}

// Mode is how many of the possible replays are run.
type Mode string

const (
	// Full replays with every disturbance at every write.
	Full Mode = "full"
	// Sample replays with some of each kind, always the same ones.
	Sample Mode = "sample"
)

// ModeFor is what WEIR_PERTURB says, and without it Sample for short tests, Full for others.
func ModeFor(short bool) (Mode, error) {
	switch mode := Mode(os.Getenv("WEIR_PERTURB")); {
	case mode == Full || mode == Sample:
		return mode, nil
	case mode != "":
		return "", fmt.Errorf("WEIR_PERTURB is %q, neither full nor sample", mode)
	case short:
		return Sample, nil
	}
	return Full, nil
}

// Report tells how a scenario's replays went.
type Report struct {
	Scenario string
	// Writes are those of the undisturbed run.
	Writes []transport.Write
	// Runs counts the replays by kind.
	Runs map[Kind]int
	// Failures are the replays that ended otherwise.
	Failures []Failure
	Duration time.Duration
}

// Failure is a replay that ended otherwise than the undisturbed run.
type Failure struct {
	Kind         Kind
	Perturbation string
	Err          error
	// Writes are those of all the service's incarnations.
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
	end := "all ended in the same objects"
	if len(r.Failures) > 0 {
		end = fmt.Sprintf("%d ended otherwise", len(r.Failures))
	}
	return fmt.Sprintf("perturbation: scenario %q: %d runs (%d intermediate, %d stale, %d unobserved), %s; %d writes undisturbed; %.1f s",
		r.Scenario, total, r.Runs[Intermediate], r.Runs[Stale], r.Runs[Unobserved], end, len(r.Writes), r.Duration.Seconds())
}
