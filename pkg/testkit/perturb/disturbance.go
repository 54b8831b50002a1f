package perturb

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/pkg/testkit/transport"
	"github.com/weir-dev/weir/pkg/testkit/world"
)

// Kind is the kind of state that a disturbance brings about.
type Kind string

// The kinds, and undisturbed.
const (
	Intermediate Kind = "intermediate"
	Stale        Kind = "stale"
	Unobserved   Kind = "unobserved"
	Undisturbed  Kind = "undisturbed"
)

// disturbance starts the service such that it will be disturbed.
type disturbance struct {
	kind Kind
	what string
	// start starts the service.
	start func(context.Context, *world.World)
	// step, if set, is called when a step begins.
	step func(*world.World, int)
	// end, if set, is called after the last step.
	end func(*world.World)
}

func undisturbed() disturbance {
	return disturbance{Undisturbed, "undisturbed", func(ctx context.Context, w *world.World) { w.Start(ctx, nil) }, nil, nil}
}

// killed dies as soon as the API server has carried out write n.
func killed(n int, write transport.Write) disturbance {
	return disturbance{
		kind: Intermediate,
		what: fmt.Sprintf("killed after write %d (%s)", n, write),
		start: func(ctx context.Context, w *world.World) {
			w.Start(ctx, nil, transport.After(killAt(ctx, n, w, func(*transport.Transport) {})))
		},
	}
}

// killAt kills at write n; the next incarnation starts with a transport as prepared.
func killAt(ctx context.Context, n int, w *world.World, prepare func(*transport.Transport)) func(transport.Write) transport.Fate {
	return func(write transport.Write) transport.Fate {
		if write.N != n {
			return transport.Deliver
		}
		over := w.Disturbing()
		go func() {
			// Not in the request's own goroutine, for which the service waits when it ends.
			if w.Kill() == nil {
				w.Start(ctx, prepare)
			}
			over()
		}()
		return transport.Kill
	}
}

// frozen does not see what write n did, nor anything else, for a while.
func frozen(n int, write transport.Write, hold time.Duration) disturbance {
	return disturbance{
		kind: Stale,
		what: fmt.Sprintf("with caches that stand still from before write %d (%s)", n, write),
		start: func(ctx context.Context, w *world.World) {
			var once sync.Once
			w.Start(ctx, nil, transport.Before(func(next int) {
				if next != n {
					return
				}
				// The write may fail and be tried again under the same number.
				once.Do(func() {
					wire, over := w.Wire(), w.Disturbing()
					wire.Freeze()
					time.AfterFunc(hold, func() { wire.Thaw(); over() })
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
		start: func(ctx context.Context, w *world.World) {
			var past atomic.Value
			w.Start(ctx, nil,
				transport.Before(func(next int) {
					if next != n {
						return
					}
					// Any list tells the resource version of the whole server.
					if list, err := w.Client().CoreV1().Namespaces().List(ctx, metav1.ListOptions{Limit: 1}); err == nil {
						past.Store(list.ResourceVersion)
					}
				}),
				transport.After(killAt(ctx, n, w, func(wire *transport.Transport) {
					if version, ok := past.Load().(string); ok {
						wire.Rewind(version)
						over := w.Disturbing()
						time.AfterFunc(hold, func() { wire.Thaw(); over() })
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
		start: func(ctx context.Context, w *world.World) {
			w.Start(ctx, func(wire *transport.Transport) { wire.Lag(lag) })
		},
	}
}

// blinded loses all events from the beginning of a step on, for a while.
func blinded(step int, name string, hold time.Duration) disturbance {
	d := undisturbed()
	d.kind, d.what = Unobserved, fmt.Sprintf("without the events from the beginning of step %d (%s) on", step+1, name)
	d.step = func(w *world.World, i int) {
		if i != step {
			return
		}
		wire, over := w.Wire(), w.Disturbing()
		wire.LoseEvents()
		time.AfterFunc(hold, func() { wire.Relist(); over() })
	}
	return d
}

// blinking loses all events for a while again and again until the steps are over, and sees twice as long each time: a client
// whose watches keep ending waits longer and longer, up to a minute, before it lists anew, and a steady blink would test that wait.
func blinking(hold time.Duration) disturbance {
	d := undisturbed()
	d.kind, d.what = Unobserved, fmt.Sprintf("losing all events for %s again and again", hold)
	ended := make(chan struct{})
	d.start = func(ctx context.Context, w *world.World) {
		w.Start(ctx, nil)
		wire, over := w.Wire(), w.Disturbing()
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
			defer wire.Relist()
			for sight := hold; ; sight *= 2 {
				wire.LoseEvents()
				if !wait(hold) {
					return
				}
				wire.Relist()
				if !wait(sight) {
					return
				}
			}
		}()
	}
	d.end = func(*world.World) { close(ended) }
	return d
}
