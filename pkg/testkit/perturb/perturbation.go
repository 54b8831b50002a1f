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

// Kind is the kind of state that a disturbance brings about.
type Kind string

// The kinds, and undisturbed.
const (
	Intermediate Kind = "intermediate"
	Stale        Kind = "stale"
	Unobserved   Kind = "unobserved"
	Unperturbed  Kind = "undisturbed"
)

// disturbance starts the service such that it will be disturbed.
type disturbance struct {
	kind Kind
	what string
	// start starts the service.
	start func(context.Context, *env.Runner)
	// step, if set, is called when a step begins.
	step func(*env.Runner, int)
	// end, if set, is called after the last step.
	end func(*env.Runner)
}

func undisturbed() disturbance {
	return disturbance{Unperturbed, "undisturbed", func(ctx context.Context, w *env.Runner) { w.Start(ctx, nil) }, nil, nil}
}

// killed dies as soon as the API server has carried out write n.
func killed(n int, write transport.Write) disturbance {
	return disturbance{
		kind: Intermediate,
		what: fmt.Sprintf("killed after write %d (%s)", n, write),
		start: func(ctx context.Context, w *env.Runner) {
			w.Start(ctx, nil, transport.AfterWrite(killAt(ctx, n, w, func(*transport.Transport) {})))
		},
	}
}

// killAt kills at write n; the next incarnation starts with a transport as prepared.
func killAt(ctx context.Context, n int, w *env.Runner, prepare func(*transport.Transport)) func(transport.Write) transport.ReplyAction {
	return func(write transport.Write) transport.ReplyAction {
		if write.N != n {
			return transport.DeliverReply
		}
		over := w.BeginPerturbation()
		go func() {
			// Not in the request's own goroutine, for which the service waits when it ends.
			if w.Kill() == nil {
				w.Start(ctx, prepare)
			}
			over()
		}()
		return transport.KillClient
	}
}

// frozen does not see what write n did, nor anything else, for a while.
func frozen(n int, write transport.Write, hold time.Duration) disturbance {
	return disturbance{
		kind: Stale,
		what: fmt.Sprintf("with caches that stand still from before write %d (%s)", n, write),
		start: func(ctx context.Context, w *env.Runner) {
			var once sync.Once
			w.Start(ctx, nil, transport.BeforeWrite(func(next int) {
				if next != n {
					return
				}
				// The write may fail and be tried again under the same number.
				once.Do(func() {
					wire, over := w.Transport(), w.BeginPerturbation()
					wire.PauseWatches()
					time.AfterFunc(hold, func() { wire.ResumeWatches(); over() })
				})
			}))
		},
	}
}

// rewound dies after write n, and starts again with caches from before it.
func rewound(n int, write transport.Write, hold time.Duration) disturbance {
	return disturbance{
		kind: Stale,
		what: fmt.Sprintf("killed after write %d (%s), started with caches from before it", n, write),
		start: func(ctx context.Context, w *env.Runner) {
			var past atomic.Value
			w.Start(ctx, nil,
				transport.BeforeWrite(func(next int) {
					if next != n {
						return
					}
					// Any list tells the resource version of the whole server.
					if list, err := w.Client().CoreV1().Namespaces().List(ctx, metav1.ListOptions{Limit: 1}); err == nil {
						past.Store(list.ResourceVersion)
					}
				}),
				transport.AfterWrite(killAt(ctx, n, w, func(wire *transport.Transport) {
					if version, ok := past.Load().(string); ok {
						wire.ServeStale(version)
						over := w.BeginPerturbation()
						time.AfterFunc(hold, func() { wire.ResumeWatches(); over() })
					}
				})))
		},
	}
}

// lagging sees everything late.
func lagging(lag time.Duration) disturbance {
	return disturbance{
		kind: Stale,
		what: fmt.Sprintf("with caches that lag by %s", lag),
		start: func(ctx context.Context, w *env.Runner) {
			w.Start(ctx, func(wire *transport.Transport) { wire.DelayWatches(lag) })
		},
	}
}

// blinded loses all events from the beginning of a step on, for a while.
func blinded(step int, name string, hold time.Duration) disturbance {
	d := undisturbed()
	d.kind, d.what = Unobserved, fmt.Sprintf("without the events from the beginning of step %d (%s) on", step+1, name)
	d.step = func(w *env.Runner, i int) {
		if i != step {
			return
		}
		wire, over := w.Transport(), w.BeginPerturbation()
		wire.DropEvents()
		time.AfterFunc(hold, func() { wire.ForceRelist(); over() })
	}
	return d
}

// blinking loses all events for a while again and again until the steps are over, and sees twice as long each time: a client
// whose watches keep ending waits longer and longer, up to a minute, before it lists anew, and a steady blink would test that wait.
func blinking(hold time.Duration) disturbance {
	d := undisturbed()
	d.kind, d.what = Unobserved, fmt.Sprintf("losing all events for %s again and again", hold)
	ended := make(chan struct{})
	d.start = func(ctx context.Context, w *env.Runner) {
		w.Start(ctx, nil)
		wire, over := w.Transport(), w.BeginPerturbation()
		wait := func(d time.Duration) bool {
			timer := time.NewTimer(d)
			defer timer.Stop()
			select {
			case <-timer.C:
				return true
			case <-ended:
			case <-ctx.Done():
			}
			return false
		}
		go func() {
			defer over()
			defer wire.ForceRelist()
			for sight := hold; ; sight *= 2 {
				wire.DropEvents()
				if !wait(hold) {
					return
				}
				wire.ForceRelist()
				if !wait(sight) {
					return
				}
			}
		}()
	}
	d.end = func(*env.Runner) { close(ended) }
	return d
}
