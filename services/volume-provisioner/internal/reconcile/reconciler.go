// Package reconcile connects the decisions of volume-provisioner with the Kubernetes API: observe.go reads the state
// from the caches, act.go carries out the plan, and reconciler.go connects both.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/pkg/event"
	"github.com/weir-dev/weir/pkg/health"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

const (
	// debounce is long compared with a burst of events about the volumes of one set.
	debounce = 50 * time.Millisecond
	// nodeWorkers is the number of LocalVolumeNodes that are reconciled in parallel.
	nodeWorkers = 4
	// nodeInterval is the shortest time between two writes of a LocalVolumeNode. Many new sets change it many times.
	nodeInterval = 500 * time.Millisecond
	// progressInterval is the shortest time between a status of a set and the next one that only reports progress.
	progressInterval = 5 * time.Second
	// recordLimit is the longest time for which a LocalVolumeNode does not record that directories exist, because
	// PersistentVolumes are being created.
	recordLimit = 10 * time.Second
	// retryDelay is the time after which a write that another client overtook is decided again. The event of the other
	// write does not always reconcile the set.
	retryDelay = 500 * time.Millisecond
	// reportDelay is the time after which the status of a new set tells that agents have not reported its base path.
	reportDelay = time.Second
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
	act := actor{kube: env.Client, weir: weir, creating: newActivity(env.Now)}
	options := controller.Options{Workers: o.Workers, Log: env.Log, Metrics: env.Metrics, Debounce: debounce}
	released, reserved := newRebinds(), &reservations{}
	set := controller.New("kafkalocalvolumeset", &sets{
		caches: c, act: act, events: env.Events, now: env.Now, rebinds: released, reserved: reserved,
		written: controller.NewPace(progressInterval, env.Now), waiting: newWaits(env.Now),
	}, options)
	claim := controller.New("persistentvolumeclaim", &claims{
		caches: c, act: act, events: env.Events, now: env.Now, reserved: reserved, reported: map[controller.Key]string{},
	}, options)
	options.Workers = nodeWorkers
	node := controller.New("localvolumenode", &nodes{
		caches: c, act: act, reserved: reserved, written: controller.NewPace(nodeInterval, env.Now),
		waiting: newWaits(env.Now), recording: newWaits(env.Now),
	}, options)
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
	// written has the last writes of statuses, waiting the times since which new sets wait for reports of agents.
	written *controller.Pace
	waiting *waits
}

func (r *sets) Reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	set := r.caches.set(key)
	if set == nil {
		r.written.Forget(key)
		r.waiting.end(key)
		return controller.Result{}, nil
	}
	var state *observed.State
	plan := decide.Plan{Reserves: true}
	if r.caches.placed(set) {
		state = r.caches.observePlaced(set, r.now())
		plan = decide.Set(state)
	}
	if plan.Reserves {
		var err error
		if state, plan, err = r.reserve(ctx, key); err != nil || state == nil {
			return controller.Result{}, err
		}
	}
	return r.carryOut(ctx, key, state, plan)
}

// carryOut writes what a plan without new reservations asks for.
func (r *sets) carryOut(
	ctx context.Context, key controller.Key, state *observed.State, plan decide.Plan,
) (controller.Result, error) {
	result := controller.Result{RequeueAfter: plan.RequeueAfter}
	if plan.AwaitsReport(state) && !r.waiting.passed(key, reportDelay) {
		return controller.Result{RequeueAfter: reportDelay}, nil
	}
	r.waiting.end(key)
	done, err := r.act.volumes(ctx, plan)
	r.rebinds.Add(float64(done.released))
	if done.overtaken && (result.RequeueAfter == 0 || result.RequeueAfter > retryDelay) {
		result.RequeueAfter = retryDelay
	}
	events := done.events
	if plan.StatusChanged(state) {
		if later := r.written.Wait(key); later > 0 && plan.Progress(state) {
			if result.RequeueAfter == 0 || result.RequeueAfter > later {
				result.RequeueAfter = later
			}
		} else {
			written, failed := r.act.setStatus(ctx, state, plan)
			err = errors.Join(err, failed)
			if written != nil {
				r.written.Note(key)
				events = append(events, plan.Events...)
			}
		}
	}
	for _, e := range events {
		event.Record(r.events, state.Set, e)
	}
	return result, err
}

// reserve decides with all earlier reservations. If the plan reserves something, it writes the status and returns no
// state: the next reconcile continues. Otherwise it returns the state and the plan.
func (r *sets) reserve(ctx context.Context, key controller.Key) (*observed.State, decide.Plan, error) {
	state, plan, err := r.decideReservation(ctx, key)
	if err != nil || state == nil || !plan.Reserves {
		return state, plan, err
	}
	written, err := r.act.setStatus(ctx, state, plan)
	r.reserved.end(key, written, err, r.now())
	if written != nil {
		r.written.Note(key)
		for _, e := range plan.Events {
			event.Record(r.events, state.Set, e)
		}
	}
	return nil, plan, err
}

// decideReservation decides while no other reservation is decided. Others see the reservation from then on.
func (r *sets) decideReservation(ctx context.Context, key controller.Key) (*observed.State, decide.Plan, error) {
	r.reserved.Lock()
	defer r.reserved.Unlock()
	if err := r.reserved.start(ctx, r.act.weir); err != nil {
		return nil, decide.Plan{}, err
	}
	state := r.reserved.observe(r.caches, key, r.now())
	if state == nil {
		return nil, decide.Plan{}, nil
	}
	plan := decide.Set(state)
	if plan.Reserves {
		r.reserved.begin(state.Set, plan.Status)
	}
	return state, plan, nil
}

// nodes reconciles LocalVolumeNodes.
type nodes struct {
	caches   *caches
	act      actor
	reserved *reservations
	// written has the last writes, waiting the times since which nodes wait for placements, and recording those since
	// which directories exist that are not recorded.
	written            *controller.Pace
	waiting, recording *waits
}

// end ends the waits of a node.
func (r *nodes) end(key controller.Key) {
	r.waiting.end(key)
	r.recording.end(key)
}

// batch returns the time between two checks whether all placements are written, and the longest time that
// LocalVolumeNodes wait for that. Many nodes wait for longer, because each placement changes several: otherwise most of
// what the API server does is to write them.
func batch(nodes int) (delay, limit time.Duration) {
	limit = min(max(2*time.Second, time.Duration(nodes)*100*time.Millisecond), 10*time.Second)
	return limit / 40, limit
}

func (r *nodes) Reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	agent, found := cacheutil.Lookup[*storagev1alpha1.LocalVolumeNode](r.caches.agents, "", key.Name)
	if !found || agent.DeletionTimestamp != nil {
		r.written.Forget(key)
		r.end(key)
		return controller.Result{}, nil
	}
	if later := r.written.Wait(key); later > 0 {
		return controller.Result{RequeueAfter: later}, nil
	}
	// A burst of new sets adds directories to each node with each placement. One write has them all.
	delay, limit := batch(len(r.caches.agents.GetStore().ListKeys()))
	if r.reserved.busy(r.waiting.now(), delay) && !r.waiting.passed(key, limit) {
		return controller.Result{RequeueAfter: delay}, nil
	}
	r.reserved.prune(r.caches)
	work := decide.Node(r.caches.nodeState(agent))
	if equality.Semantic.DeepEqual(work, agent.Spec) {
		r.end(key)
		return controller.Result{}, nil
	}
	// What the agent does not wait for comes after the PersistentVolumes, which pods wait for.
	if !decide.Urgent(agent.Spec, work) && (r.act.creating.busy(10*delay) || r.caches.binding(agent)) &&
		!r.recording.passed(key, recordLimit) {
		r.waiting.end(key)
		return controller.Result{RequeueAfter: 5 * delay}, nil
	}
	r.end(key)
	written, err := r.act.node(ctx, agent, work)
	if written != nil {
		r.written.Note(key)
	}
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
