package perturb

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/pkg/testkit/env"
	"github.com/weir-dev/weir/pkg/testkit/transport"
)

// Kind is the kind of state that a perturbation causes.
type Kind string

// The kinds of states of Sieve, and Unperturbed for the reference run.
const (
	Intermediate Kind = "intermediate"
	Stale        Kind = "stale"
	Unobserved   Kind = "unobserved"
	Unperturbed  Kind = "unperturbed"
)

// perturbation perturbs one process of a run.
type perturbation struct {
	kind        Kind
	process     string
	description string
	// start starts the process.
	start func(context.Context, *env.Runner)
	// beforeStep, if set, is called before each step.
	beforeStep func(r *env.Runner, step int)
	// afterSteps, if set, is called after the last step.
	afterSteps func(*env.Runner)
}

func (p perturbation) String() string {
	if p.process == "" || p.process == env.ServiceProcess {
		return p.description
	}
	return "process " + p.process + ": " + p.description
}

func unperturbed() perturbation { return perturbation{kind: Unperturbed, description: "unperturbed"} }

// startAll starts the perturbed process by its own start function, and all others normally.
func (p perturbation) startAll(ctx context.Context, r *env.Runner) {
	for _, name := range r.Processes() {
		if name == p.process && p.start != nil {
			p.start(ctx, r)
		} else {
			r.Start(ctx, name, nil)
		}
	}
}

// killed kills the process as soon as the API server has completed its write n, and restarts it.
func killed(process string, n int, write transport.Write) perturbation {
	return perturbation{
		kind: Intermediate, process: process,
		description: fmt.Sprintf("killed after write %d (%s)", n, write),
		start: func(ctx context.Context, r *env.Runner) {
			kill := killAt(ctx, process, n, r, func(*transport.Transport) {})
			r.Start(ctx, process, nil, transport.AfterWrite(kill))
		},
	}
}

// killAt returns a hook that kills the process at write n and restarts it with a transport set up by prepare.
func killAt(
	ctx context.Context, process string, n int, r *env.Runner, prepare func(*transport.Transport),
) func(transport.Write) transport.ReplyAction {
	return func(write transport.Write) transport.ReplyAction {
		if write.N != n {
			return transport.DeliverReply
		}
		end := r.BeginPerturbation()
		go func() {
			// Not in the goroutine of the request: Kill waits until the process has returned.
			if r.Kill(process) == nil {
				r.Start(ctx, process, prepare)
			}
			end()
		}()
		return transport.KillClient
	}
}

// pausedCache pauses the watches of the process before its write n, for the duration of pause.
func pausedCache(process string, n int, write transport.Write, pause time.Duration) perturbation {
	return perturbation{
		kind: Stale, process: process,
		description: fmt.Sprintf("with watches paused before write %d (%s)", n, write),
		start: func(ctx context.Context, r *env.Runner) {
			var once sync.Once
			r.Start(ctx, process, nil, transport.BeforeWrite(func(next int) {
				if next != n {
					return
				}
				// A failed write is retried under the same number.
				once.Do(func() {
					t, end := r.Transport(process), r.BeginPerturbation()
					t.PauseWatches()
					time.AfterFunc(pause, func() { t.ResumeWatches(); end() })
				})
			}))
		},
	}
}

// staleCache kills the process after its write n and restarts it with caches from before that write.
func staleCache(process string, n int, write transport.Write, pause time.Duration) perturbation {
	return perturbation{
		kind: Stale, process: process,
		description: fmt.Sprintf("killed after write %d (%s) and restarted with caches from before it", n, write),
		start: func(ctx context.Context, r *env.Runner) {
			var past atomic.Value
			before := func(next int) {
				if next != n {
					return
				}
				// Every list has the current resource version of the API server.
				list, err := r.Client().CoreV1().Namespaces().List(ctx, metav1.ListOptions{Limit: 1})
				if err == nil {
					past.Store(list.ResourceVersion)
				}
			}
			prepare := func(t *transport.Transport) {
				if version, ok := past.Load().(string); ok {
					t.ServeStale(version)
					end := r.BeginPerturbation()
					time.AfterFunc(pause, func() { t.ResumeWatches(); end() })
				}
			}
			r.Start(ctx, process, nil, transport.BeforeWrite(before),
				transport.AfterWrite(killAt(ctx, process, n, r, prepare)))
		},
	}
}

// delayed delays all watch events of the process.
func delayed(process string, delay time.Duration) perturbation {
	return perturbation{
		kind: Stale, process: process, description: fmt.Sprintf("with watch events delayed by %s", delay),
		start: func(ctx context.Context, r *env.Runner) {
			r.Start(ctx, process, func(t *transport.Transport) { t.DelayWatches(delay) })
		},
	}
}

// droppedEvents drops all watch events of the process from the start of a step, for the duration of pause.
func droppedEvents(process string, step int, name string, pause time.Duration) perturbation {
	return perturbation{
		kind: Unobserved, process: process,
		description: fmt.Sprintf("with watch events dropped from step %d (%s)", step+1, name),
		beforeStep: func(r *env.Runner, i int) {
			if i != step {
				return
			}
			t, end := r.Transport(process), r.BeginPerturbation()
			t.DropEvents()
			time.AfterFunc(pause, func() { t.ForceRelist(); end() })
		},
	}
}

// repeatedlyDroppedEvents drops all watch events of the process for the duration of pause, again and again until the
// steps are complete. The intervals between double each time: the reflector of a client whose watches keep ending waits
// for up to 1 min before it lists again, and constant intervals would only test that backoff.
func repeatedlyDroppedEvents(process string, pause time.Duration) perturbation {
	completed := make(chan struct{})
	return perturbation{
		kind: Unobserved, process: process,
		description: fmt.Sprintf("with watch events repeatedly dropped for %s", pause),
		start: func(ctx context.Context, r *env.Runner) {
			r.Start(ctx, process, nil)
			t, end := r.Transport(process), r.BeginPerturbation()
			wait := func(d time.Duration) bool {
				timer := time.NewTimer(d)
				defer timer.Stop()
				select {
				case <-timer.C:
					return true
				case <-completed:
				case <-ctx.Done():
				}
				return false
			}
			go func() {
				defer end()
				defer t.ForceRelist()
				for interval := pause; ; interval *= 2 {
					t.DropEvents()
					if !wait(pause) {
						return
					}
					t.ForceRelist()
					if !wait(interval) {
						return
					}
				}
			}()
		},
		afterSteps: func(*env.Runner) { close(completed) },
	}
}
