// Package reconcile connects the decisions of volume-provisioner with the Kubernetes API: observe.go reads the state
// from the caches, act.go carries out the plan, and reconciler.go connects both.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/pkg/event"
	"github.com/weir-dev/weir/pkg/health"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

const (
	// debounce is long compared with a burst of events about the volumes of one set.
	debounce = 50 * time.Millisecond
	// nodeWorkers is the number of LocalVolumeNodes that are reconciled in parallel.
	nodeWorkers = 4
)

// Scheme returns a scheme with the types of Kubernetes and of apis/storage.
func Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, storagev1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			panic("build the scheme: " + err.Error())
		}
	}
	return s
}

// Options configure the controllers.
type Options struct {
	// Workers is the number of sets that are reconciled in parallel.
	Workers int
	// Settings are passed to the decisions.
	Settings spec.Settings
}

// Setup builds the controllers of KafkaLocalVolumeSets, PersistentVolumeClaims, LocalVolumeNodes and VolumeWipes.
func Setup(_ context.Context, env app.Env, o Options) (app.Components, error) {
	if env.Namespace != "" {
		return app.Components{}, fmt.Errorf("--namespace=%s: must be empty; PersistentVolumes and the space of the nodes "+
			"are shared by all namespaces", env.Namespace)
	}
	weir, err := versioned.NewForConfig(env.RESTConfig)
	if err != nil {
		return app.Components{}, fmt.Errorf("create the client of %s: %w", storagev1alpha1.GroupName, err)
	}
	c, err := newCaches(env.Client, weir, env.Log)
	if err != nil {
		return app.Components{}, err
	}
	c.settings = o.Settings
	act := actor{kube: env.Client, weir: weir}
	options := controller.Options{Workers: o.Workers, Log: env.Log, Metrics: env.Metrics, Debounce: debounce}
	released, reserved := newRebinds(), &reservations{}
	set := controller.New("kafkalocalvolumeset", &sets{
		caches: c, act: act, events: env.Events, now: env.Now, rebinds: released, reserved: reserved,
	}, options)
	claim := controller.New("persistentvolumeclaim", &claims{
		caches: c, act: act, events: env.Events, now: env.Now, reserved: reserved, reported: map[controller.Key]string{},
	}, options)
	options.Workers = nodeWorkers
	node := controller.New("localvolumenode", &nodes{c, act}, options)
	wipe := controller.New("volumewipe", &wipes{c, act, env.Now}, options)
	err = errors.Join(c.watchForSets(set), c.watchForClaims(claim), c.watchForNodes(node), c.watchForWipes(wipe))
	if err != nil {
		return app.Components{}, err
	}
	for _, collector := range []prometheus.Collector{collector{c}, released} {
		if err := env.Metrics.Register(collector); err != nil {
			return app.Components{}, fmt.Errorf("register metrics: %w", err)
		}
	}
	return app.Components{
		Always:      []app.Runnable{c.run},
		LeaderOnly:  []app.Runnable{set.Run, claim.Run, node.Run, wipe.Run},
		ReadyChecks: map[string]health.Check{"caches": set.Synced, "definitions": c.starter.Synced},
	}, nil
}

// sets reconciles KafkaLocalVolumeSets.
type sets struct {
	caches  *caches
	act     actor
	events  events.EventRecorder
	now     func() time.Time
	rebinds prometheus.Counter

	reserved *reservations
}

func (r *sets) Reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	state := r.caches.observeSet(key, r.now())
	if state == nil {
		return controller.Result{}, nil
	}
	plan := decide.Set(state)
	if plan.Reserves {
		return controller.Result{}, r.reserve(ctx, key)
	}
	done, err := r.act.set(ctx, state, plan)
	r.rebinds.Add(float64(rebinds(done)))
	for _, e := range done {
		event.Record(r.events, state.Set, e)
	}
	return controller.Result{RequeueAfter: plan.RequeueAfter}, err
}

// reserve decides again with all earlier reservations, and writes the status before another set can be decided.
func (r *sets) reserve(ctx context.Context, key controller.Key) error {
	r.reserved.Lock()
	defer r.reserved.Unlock()
	if err := r.reserved.start(ctx, r.act.weir); err != nil {
		return err
	}
	state := r.reserved.observe(r.caches, key, r.now())
	if state == nil {
		return nil
	}
	plan := decide.Set(state)
	if !plan.Reserves {
		// The caches are older than the status. Their next event reconciles again.
		return nil
	}
	written, err := r.act.setStatus(ctx, state, plan)
	if err != nil {
		// The status may have been written. The next reservation reads it.
		r.reserved.started = false
		return err
	}
	if written == nil {
		return nil
	}
	r.reserved.sets.add(written)
	for _, e := range plan.Events {
		event.Record(r.events, state.Set, e)
	}
	return nil
}

// nodes reconciles LocalVolumeNodes.
type nodes struct {
	caches *caches
	act    actor
}

func (r *nodes) Reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	state := r.caches.observeNode(key.Name)
	if state == nil {
		return controller.Result{}, nil
	}
	work := decide.Node(state)
	if equality.Semantic.DeepEqual(work, state.Agent.Spec) {
		return controller.Result{}, nil
	}
	_, err := r.act.node(ctx, state.Agent, work)
	return controller.Result{}, err
}

// wipes reconciles VolumeWipes.
type wipes struct {
	caches *caches
	act    actor
	now    func() time.Time
}

func (r *wipes) Reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	state := r.caches.observeWipe(key, r.now())
	if state == nil {
		return controller.Result{}, nil
	}
	plan := decide.Wipe(state)
	changed := !equality.Semantic.DeepEqual(plan.Status, state.Wipe.Status)
	return controller.Result{}, r.act.wipe(ctx, state.Wipe, plan, changed)
}

// split returns the namespace and the claim of a volume's id.
func split(id string) (namespace, claim string) {
	namespace, claim, _ = strings.Cut(id, "/")
	return namespace, claim
}
