// Package reconcile connects the decisions of connect-scheduler with the Kubernetes API: observe.go reads the state
// from the caches, act.go carries out the plan, and reconciler.go connects both.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/pkg/event"
	"github.com/weir-dev/weir/pkg/health"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/rollout"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// debounce is short compared with the start of a pod, and long compared with a burst of events about one connector.
const debounce = 100 * time.Millisecond

// staleInterval is the time until the next reconcile of an object that another client has written meanwhile. The event
// of that write starts one earlier, unless it changes only the status.
const staleInterval = time.Second

// progressInterval is the least time between two writes of a status of which the second only reports progress. The API
// server validates the whole KafkaConnector at each write.
const progressInterval = time.Second

// connectWorkers is the number of KafkaConnects that are reconciled in parallel.
const connectWorkers = 2

// Scheme returns a scheme with the types of Kubernetes and of apis/connect.
func Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, connectv1.AddToScheme} {
		if err := add(s); err != nil {
			panic("build the scheme: " + err.Error())
		}
	}
	return s
}

// Options configure the controllers.
type Options struct {
	// Workers is the number of KafkaConnectors that are reconciled in parallel.
	Workers int
	// MaxRestartingPods is the maximum number of pods that rollouts restart at the same time. 0: DefaultMaxRestartingPods
	// of the number of pods.
	MaxRestartingPods int
	// Settings are passed to the decisions.
	Settings observed.Settings
}

// Setup builds the controllers of KafkaConnectors and KafkaConnects.
func Setup(_ context.Context, env app.Env, o Options) (app.Components, error) {
	weir, err := versioned.NewForConfig(env.RESTConfig)
	if err != nil {
		return app.Components{}, fmt.Errorf("create the client of %s: %w", connectv1.GroupName, err)
	}
	c, err := newCaches(env.Client, weir, env.Namespace, env.Log)
	if err != nil {
		return app.Components{}, err
	}
	c.settings = o.Settings
	act := actor{kube: env.Client, weir: weir}
	options := controller.Options{Workers: o.Workers, Log: env.Log, Metrics: env.Metrics, Debounce: debounce}
	restarts := &ledger{listers: c.connectorLister, limit: func() int {
		if o.MaxRestartingPods > 0 {
			return o.MaxRestartingPods
		}
		return DefaultMaxRestartingPods(len(c.pods.Core().V1().Pods().Informer().GetStore().ListKeys()))
	}}
	connector := controller.New("kafkaconnector",
		connectors{c, act, restarts, controller.NewPace(progressInterval, env.Now), env.Events, env.Now}, options)
	restarts.wake = connector.Enqueue
	options.Workers = connectWorkers
	connect := controller.New("kafkaconnect", connects{c, act, env.Events, env.Now}, options)
	if err := errors.Join(
		c.watchForConnectors(connector), c.watchForConnects(connect), c.watchStorage(connector, connect)); err != nil {
		return app.Components{}, err
	}
	if err := env.Metrics.Register(collector{c, restarts}); err != nil {
		return app.Components{}, fmt.Errorf("register metrics: %w", err)
	}
	return app.Components{
		Always:      []app.Runnable{c.run},
		LeaderOnly:  []app.Runnable{connector.Run, connect.Run},
		ReadyChecks: map[string]health.Check{"caches": connector.Synced, "definitions": c.starter.Synced},
	}, nil
}

// connectors reconciles KafkaConnectors.
type connectors struct {
	caches   *caches
	act      actor
	restarts *ledger
	written  *controller.Pace
	events   events.EventRecorder
	now      func() time.Time
}

func (r connectors) Reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	state, effective, err := r.caches.observeConnector(key, r.now())
	if err != nil {
		return controller.Result{}, err
	}
	if state == nil {
		r.restarts.set(key, usage{}, false)
		r.written.Forget(key)
		return controller.Result{}, nil
	}
	if err := r.act.readAcceptedConfig(ctx, state, effective); err != nil {
		return controller.Result{}, err
	}
	plan, err := r.decide(key, *state, effective)
	if err != nil {
		return controller.Result{}, err
	}
	if delay := r.written.Wait(key); delay > 0 && plan.OnlyProgress() {
		return controller.Result{RequeueAfter: delay}, nil
	}
	written, err := r.act.connector(ctx, state, &plan)
	if errors.Is(err, errStale) {
		return controller.Result{RequeueAfter: staleInterval}, nil
	}
	if written && plan.StatusChanged() {
		r.written.Note(key)
	}
	if written {
		for _, e := range plan.Events() {
			event.Record(r.events, state.Connector, e)
		}
	}
	return controller.Result{RequeueAfter: plan.RequeueAfter}, err
}

// decide decides without a budget first. If pods wait for one, it decides again with what the ledger grants.
func (r connectors) decide(key controller.Key, s observed.State, e spec.Effective) (decide.Plan, error) {
	s.Budget = &observed.Budget{}
	plan, err := decide.Connector(s, e)
	if err != nil || plan.Budget == nil {
		return plan, err
	}
	if b := plan.Budget; b.Waiting > 0 {
		if s.Budget.Free = r.restarts.acquire(key, use(b), b.Waiting, b.Whole); s.Budget.Free > 0 {
			if plan, err = decide.Connector(s, e); err != nil {
				return plan, err
			}
		}
	}
	r.restarts.set(key, use(plan.Budget), plan.Budget.Waiting > 0)
	return plan, nil
}

func use(b *rollout.Budget) usage { return usage{pods: len(b.Restarting), failing: b.Failing} }

// connects reconciles KafkaConnects.
type connects struct {
	caches *caches
	act    actor
	events events.EventRecorder
	now    func() time.Time
}

func (r connects) Reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	state, err := r.caches.observeConnect(key, r.now())
	if err != nil || state == nil {
		return controller.Result{}, err
	}
	plan, err := decide.Connect(*state)
	if err != nil {
		return controller.Result{}, err
	}
	written, err := r.act.connect(ctx, state, &plan)
	if errors.Is(err, errStale) {
		return controller.Result{RequeueAfter: staleInterval}, nil
	}
	if written {
		for _, e := range plan.Events() {
			event.Record(r.events, state.Connect, e)
		}
	}
	return controller.Result{}, err
}
