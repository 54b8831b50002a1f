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

// Runner runs the processes of a Subject in a new namespace. The caller must call Close.
type Runner struct {
	Env
	subject Subject
	// processes is ordered as in the Subject.
	processes []*process

	mu      sync.Mutex
	pending int
	stuck   error
}

// process is a Process and its instances. The fields below config are guarded by the lock of the Runner.
type process struct {
	Process
	config *rest.Config

	current  *instance
	previous []*instance
}

// instance is one run of a process, from its start to its kill.
type instance struct {
	transport *transport.Transport
	cancel    context.CancelFunc
	done      chan struct{}
	err       error
}

// New creates a namespace and prepares it. It does not start the processes.
func New(ctx context.Context, cp *testkit.ControlPlane, like string, subject Subject) (*Runner, error) {
	subject = subject.withDefaults()
	if len(subject.Processes) == 0 {
		return nil, errors.New("the subject has no process: set Service or Processes")
	}
	namespace, err := cp.CreateNamespace(ctx, like)
	if err != nil {
		return nil, err
	}
	r := &Runner{Env: Env{ControlPlane: cp, Namespace: namespace}, subject: subject}
	if subject.Prepare != nil {
		if err := subject.Prepare(ctx, r.Env); err != nil {
			return nil, errors.Join(fmt.Errorf("prepare: %w", err), r.Close())
		}
	}
	for _, p := range subject.Processes {
		config := cp.RESTConfig()
		if p.Identity != nil {
			if config, err = p.Identity(ctx, r.Env); err != nil {
				return nil, errors.Join(fmt.Errorf("get the identity of process %s: %w", p.Name, err), r.Close())
			}
		}
		r.processes = append(r.processes, &process{Process: p, config: config})
	}
	return r, nil
}

// Processes returns the names of the processes.
func (r *Runner) Processes() []string {
	names := make([]string, len(r.processes))
	for i, p := range r.processes {
		names[i] = p.Name
	}
	return names
}

// process panics for an unknown name, which is an error in the harness.
func (r *Runner) process(name string) *process {
	for _, p := range r.processes {
		if p.Name == name {
			return p
		}
	}
	panic(fmt.Sprintf("env: unknown process %q", name))
}

// StartAll starts all processes.
func (r *Runner) StartAll(ctx context.Context) {
	for _, name := range r.Processes() {
		r.Start(ctx, name, nil)
	}
}

// Start starts a process. prepare, if not nil, is called with its transport before the first request.
func (r *Runner) Start(
	ctx context.Context, name string, prepare func(*transport.Transport), options ...transport.Option,
) {
	p := r.process(name)
	options = append(options, transport.IgnoreResources(r.subject.Ignore...))
	config, t := transport.Wrap(p.config, options...)
	if prepare != nil {
		prepare(t)
	}
	ctx, cancel := context.WithCancel(ctx)
	i := &instance{transport: t, cancel: cancel, done: make(chan struct{})}
	r.mu.Lock()
	p.current = i
	r.mu.Unlock()
	go func() {
		defer close(i.done)
		i.err = p.Run(ctx, config, r.Namespace)
		if ctx.Err() == nil && i.err == nil {
			i.err = errors.New("returned before its context ended")
		}
	}()
}

// Transport returns the transport of a running process, or of its last instance if it was killed.
func (r *Runner) Transport(name string) *transport.Transport {
	p := r.process(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.current == nil {
		return p.previous[len(p.previous)-1].transport
	}
	return p.current.transport
}

// Kill ends a process as SIGKILL would: none of its requests reaches the API server any more.
func (r *Runner) Kill(name string) error {
	p := r.process(name)
	r.mu.Lock()
	i := p.current
	if i != nil {
		p.previous, p.current = append(p.previous, i), nil
	}
	r.mu.Unlock()
	if i == nil {
		return nil
	}
	i.transport.Kill()
	i.cancel()
	select {
	case <-i.done:
		return nil
	case <-time.After(r.subject.Deadline):
		err := fmt.Errorf("process %s did not return within %s after its context ended", name, r.subject.Deadline)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stuck = err
		return err
	}
}

// BeginPerturbation announces a perturbation. The state does not count as stable until end is called.
func (r *Runner) BeginPerturbation() (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.pending--
	}
}

// Err returns an error if a process returned on its own, or did not return when it was killed.
func (r *Runner) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stuck != nil {
		return r.stuck
	}
	for _, p := range r.processes {
		if p.current == nil {
			continue
		}
		select {
		case <-p.current.done:
			return fmt.Errorf("process %s: %w", p.Name, p.current.err)
		default:
		}
	}
	return nil
}

// Writes returns the writes of all instances of a process.
func (r *Runner) Writes(name string) []transport.Write {
	p := r.process(name)
	r.mu.Lock()
	instances := append([]*instance{}, p.previous...)
	if p.current != nil {
		instances = append(instances, p.current)
	}
	r.mu.Unlock()
	var writes []transport.Write
	for _, i := range instances {
		writes = append(writes, i.transport.Writes()...)
	}
	return writes
}

// AllWrites returns the writes of all processes, process by process.
func (r *Runner) AllWrites() []transport.Write {
	var writes []transport.Write
	for _, name := range r.Processes() {
		writes = append(writes, r.Writes(name)...)
	}
	return writes
}

// Snapshot returns the objects to compare.
func (r *Runner) Snapshot(ctx context.Context) (snapshot.Snapshot, error) {
	return snapshot.Take(ctx, r.Dynamic(), r.Namespace, r.subject.Compare, r.subject.Normalize...)
}

// WaitStable waits until no perturbation is running, and check has returned nil and nothing was written for the quiet
// period.
func (r *Runner) WaitStable(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.subject.Deadline)
	defer cancel()
	var since time.Time
	return testkit.PollEvery(ctx, 100*time.Millisecond, "a stable state", func(ctx context.Context) error {
		if err := r.Err(); err != nil {
			return testkit.Permanent(err)
		}
		err := r.perturbed()
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
		for _, name := range r.Processes() {
			if last := r.Transport(name).LastWrite(); time.Since(last) < r.subject.QuietPeriod {
				writes := r.Writes(name)
				return fmt.Errorf("process %s keeps writing; its last writes: %v", name, writes[max(0, len(writes)-5):])
			}
		}
		if time.Since(since) < r.subject.QuietPeriod {
			return errors.New("the expected state has not lasted for the quiet period")
		}
		return nil
	})
}

func (r *Runner) perturbed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending > 0 {
		return errors.New("the perturbation has not ended")
	}
	for _, p := range r.processes {
		if p.current == nil {
			return fmt.Errorf("process %s is not running", p.Name)
		}
	}
	return nil
}

// Close kills all processes and deletes the namespace.
func (r *Runner) Close() error {
	// The context of the scenario may have ended.
	ctx, cancel := context.WithTimeout(context.Background(), r.subject.Deadline)
	defer cancel()
	var err error
	for _, name := range r.Processes() {
		err = errors.Join(err, r.Kill(name))
	}
	if r.subject.Cleanup != nil {
		err = errors.Join(err, r.subject.Cleanup(ctx, r.Env))
	}
	return errors.Join(err, r.DeleteNamespace(ctx, r.Namespace))
}
