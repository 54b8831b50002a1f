// Package world is a namespace with a service at work in it, as often as one likes: what the harnesses run their scenarios in.
package env

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/snapshot"
	"github.com/weir-dev/weir/pkg/testkit/transport"
)

// Env is where a scenario's steps act, as an administrator.
type Env struct {
	*testkit.ControlPlane
	Namespace string
}

// Subject is the service under test, and what of its work counts.
type Subject struct {
	// Prepare, if set, makes what the service needs before it starts; what is not in the namespace must bear its name.
	Prepare func(context.Context, Env) error
	// Identity, if set, is whom the service acts as; otherwise it is an administrator.
	Identity func(context.Context, Env) (*rest.Config, error)
	// Service runs until its context ends, then returns. Several run side by side in one process, each for one namespace.
	// One that elects a leader is to be configured so that it need not wait for its killed predecessor's lease.
	Service func(ctx context.Context, config *rest.Config, namespace string) error
	// Compare lists the objects that must come out the same.
	Compare []snapshot.Listing
	// Normalize removes from them what may differ though the service is right.
	Normalize []snapshot.Normalizer
	// Ignore are resources whose writes do not count; nil stands for leases and events.
	Ignore []string
	// Quiet is how long nothing may be written for the world to count as settled; 500 ms unless set.
	QuietPeriod time.Duration
	// Deadline is how long the world may take to settle; a minute unless set.
	Deadline time.Duration
	// Cleanup, if set, removes what Prepare or the service made outside the namespace.
	Cleanup func(context.Context, Env) error
}

// World must be closed.
type Runner struct {
	Env
	subject  Subject
	identity *rest.Config

	mu       sync.Mutex
	current  *incarnation
	previous []*incarnation
	pending  int
	stuck    error
}

// incarnation is one process of the service, so to speak.
type incarnation struct {
	wire   *transport.Transport
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// New makes a world; the service is not started yet.
func New(ctx context.Context, cp *testkit.ControlPlane, like string, subject Subject) (*Runner, error) {
	namespace, err := cp.CreateNamespace(ctx, like)
	if err != nil {
		return nil, err
	}
	w := &Runner{Env: Env{ControlPlane: cp, Namespace: namespace}, subject: subject.withDefaults()}
	if subject.Prepare != nil {
		if err := subject.Prepare(ctx, w.Env); err != nil {
			return nil, errors.Join(fmt.Errorf("prepare: %w", err), w.Close())
		}
	}
	w.identity = cp.RESTConfig()
	if subject.Identity != nil {
		if w.identity, err = subject.Identity(ctx, w.Env); err != nil {
			return nil, errors.Join(fmt.Errorf("get the service's identity: %w", err), w.Close())
		}
	}
	return w, nil
}

func (s Subject) withDefaults() Subject {
	if s.Ignore == nil {
		s.Ignore = []string{"leases", "events"}
	}
	if s.QuietPeriod == 0 {
		s.QuietPeriod = 500 * time.Millisecond
	}
	if s.Deadline == 0 {
		s.Deadline = time.Minute
	}
	return s
}

// Start starts the service; before, if set, sees its transport first.
func (w *Runner) Start(ctx context.Context, before func(*transport.Transport), options ...transport.Option) {
	config, wire := transport.Wrap(w.identity, append(options, transport.IgnoreResources(w.subject.Ignore...))...)
	if before != nil {
		before(wire)
	}
	ctx, cancel := context.WithCancel(ctx)
	i := &incarnation{wire: wire, cancel: cancel, done: make(chan struct{})}
	w.mu.Lock()
	w.current = i
	w.mu.Unlock()
	go func() {
		defer close(i.done)
		i.err = w.subject.Service(ctx, config, w.Namespace)
		// A service that ends before it is told to has failed, whatever it says.
		if ctx.Err() == nil && i.err == nil {
			i.err = errors.New("returned though its context had not ended")
		}
	}()
}

// Wire is the running service's transport, or that of the one killed last.
func (w *Runner) Transport() *transport.Transport {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.current == nil {
		return w.previous[len(w.previous)-1].wire
	}
	return w.current.wire
}

// Kill ends the service as the death of its process would: nothing of it reaches the API server any more.
func (w *Runner) Kill() error {
	w.mu.Lock()
	i := w.current
	if i != nil {
		w.previous, w.current = append(w.previous, i), nil
	}
	w.mu.Unlock()
	if i == nil {
		return nil
	}
	i.wire.Kill()
	i.cancel()
	select {
	case <-i.done:
		return nil
	case <-time.After(w.subject.Deadline):
		err := fmt.Errorf("the service has not returned %s after its context ended", w.subject.Deadline)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.stuck = err
		return err
	}
}

// Disturbing says that a disturbance is under way: the world does not count as settled until the function returned is called.
func (w *Runner) BeginPerturbation() (over func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.pending--
	}
}

// Fault is why the service has ended on its own, or that it has not ended when killed.
func (w *Runner) Err() error {
	w.mu.Lock()
	i, stuck := w.current, w.stuck
	w.mu.Unlock()
	if stuck != nil {
		return stuck
	}
	if i == nil {
		return nil
	}
	select {
	case <-i.done:
		return fmt.Errorf("the service: %w", i.err)
	default:
		return nil
	}
}

// Writes are those of all the service's incarnations.
func (w *Runner) Writes() []transport.Write {
	w.mu.Lock()
	all := w.previous
	if w.current != nil {
		all = append(all[:len(all):len(all)], w.current)
	}
	w.mu.Unlock()
	var writes []transport.Write
	for _, i := range all {
		writes = append(writes, i.wire.Writes()...)
	}
	return writes
}

// Snapshot is what counts of the world.
func (w *Runner) Snapshot(ctx context.Context) (snapshot.Snapshot, error) {
	return snapshot.Take(ctx, w.Dynamic(), w.Namespace, w.subject.Compare, w.subject.Normalize...)
}

// Settle waits until no disturbance is under way, the check holds and, for the quiet period, has held and nothing was written.
func (w *Runner) WaitStable(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, w.subject.Deadline)
	defer cancel()
	var since time.Time
	return testkit.PollEvery(ctx, 100*time.Millisecond, "the world to settle", func(ctx context.Context) error {
		if err := w.Err(); err != nil {
			return testkit.Permanent(err)
		}
		err := w.restless()
		if err == nil {
			err = check(ctx)
		}
		if err != nil {
			since = time.Time{}
			return err
		}
		if since.IsZero() {
			since = time.Now()
		}
		if last := w.Transport().LastWrite(); time.Since(last) < w.subject.QuietPeriod {
			writes := w.Writes()
			return fmt.Errorf("the service does not come to rest; its last writes: %v", writes[max(0, len(writes)-5):])
		}
		if time.Since(since) < w.subject.QuietPeriod {
			return errors.New("what is wanted has been so for a moment only")
		}
		return nil
	})
}

func (w *Runner) restless() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pending > 0 || w.current == nil {
		return errors.New("the disturbance is not over yet")
	}
	return nil
}

// Close ends the service and has the namespace deleted.
func (w *Runner) Close() error {
	// The context of what went before may have ended.
	ctx, cancel := context.WithTimeout(context.Background(), w.subject.Deadline)
	defer cancel()
	err := w.Kill()
	if w.subject.Cleanup != nil {
		err = errors.Join(err, w.subject.Cleanup(ctx, w.Env))
	}
	return errors.Join(err, w.DeleteNamespace(ctx, w.Namespace))
}
