//go:build linux

// Package reconcile connects the decisions of gluster-bridge with the Kubernetes API: observe.go reads the state from
// the caches, act.go carries out the plan, probe.go mounts the volumes, and reconciler.go connects them.
package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/pkg/controller"
	pkgcsi "github.com/weir-dev/weir/pkg/csi"
	"github.com/weir-dev/weir/pkg/health"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/csi"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/gluster"
)

// Scheme returns a scheme with the types of Kubernetes, apis/kadalu and apis/storage.
func Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		scheme.AddToScheme, kadaluv1alpha1.AddToScheme, storagev1alpha1.AddToScheme,
	} {
		if err := add(s); err != nil {
			panic("build the scheme: " + err.Error())
		}
	}
	return s
}

// Options configure the controllers.
type Options struct {
	// Workers is the number of storages that are reconciled in parallel.
	Workers int
	// ProbeInterval is the time between two probes of a storage, Timeout the longest time of one.
	ProbeInterval, Timeout time.Duration
	// ResyncInterval is the time after which the metadata of all volumes is read again.
	ResyncInterval time.Duration
	// Pool has the mounts.
	Pool *gluster.Pool
	// Locks are held by the CSI calls that are running.
	Locks *pkgcsi.Locks
	// Projects is the range of project ids.
	Projects decide.ProjectRange
}

// Controllers reconcile KadaluStorages and tell the CSI services which storages can be used.
type Controllers struct {
	caches     *caches
	actor      actor
	probes     *probes
	controller *controller.Controller
	// limits reconciles GlusterVolumes with the controller volumes.
	limits  *volumes
	volumes *controller.Controller
	// loads has a value after the metadata of a storage was read.
	loads chan struct{}

	mu sync.Mutex
	// effects are what the volumes of a storage depend on.
	effects map[controller.Key]effect
}

// effect is what the GlusterVolumes of a storage depend on, except their own metadata.
type effect struct {
	storage decide.Storage
	mode    kadaluv1alpha1.QuotaMode
	usable  bool
	reached bool
	offline []string
	bricks  []string
}

// debounce is long compared with a burst of changes of the volumes of one storage.
const debounce = 50 * time.Millisecond

// New builds the controllers.
func New(env app.Env, o Options) (*Controllers, error) {
	weir, err := versioned.NewForConfig(env.RESTConfig)
	if err != nil {
		return nil, fmt.Errorf("create the client of %s: %w", kadaluv1alpha1.GroupName, err)
	}
	caches, err := newCaches(env.Client, weir, env.Namespace, env.Log)
	if err != nil {
		return nil, err
	}
	c := &Controllers{
		caches: caches, effects: map[controller.Key]effect{}, loads: make(chan struct{}, 1),
		actor: actor{kube: env.Client, weir: weir, now: env.Now, written: controller.NewPace(statusInterval, env.Now)},
	}
	c.controller = controller.New("kadalustorages", c, controller.Options{
		Workers: o.Workers, Log: env.Log, Metrics: env.Metrics, Debounce: debounce,
	})
	c.limits = &volumes{
		controllers: c, weir: weir, events: env.Events, log: env.Log, now: env.Now, projects: o.Projects, pool: o.Pool,
		locks: o.Locks, timeout: o.Timeout, changes: map[string]chan struct{}{}, shown: map[decide.VolumeID]int64{},
		renumbered: map[decide.VolumeID]int{},
	}
	c.volumes = controller.New("glustervolumes", c.limits, controller.Options{
		Workers: o.Workers, Log: env.Log, Metrics: env.Metrics,
	})
	c.probes = newProbes(o, env.Log, env.Metrics, c.controller.Enqueue, func(key controller.Key, s decide.Storage) {
		c.enqueueVolumes(key, s)
		select {
		case c.loads <- struct{}{}:
		default: // The reader has not read the last value yet.
		}
	})
	return c, caches.watch(c.controller, c.volumes, c.limits.changed)
}

// Loaded receives a value after the metadata of a storage was read.
func (c *Controllers) Loaded() <-chan struct{} { return c.loads }

// Limits are the limits of the volumes, for the CSI services.
func (c *Controllers) Limits() csi.Limits { return c.limits }

// Components are the parts of the process that the controllers need.
func (c *Controllers) Components() app.Components {
	return app.Components{
		Always:      []app.Runnable{c.caches.run, c.probes.run, c.controller.Run, c.volumes.Run},
		ReadyChecks: map[string]health.Check{"definitions": c.caches.starter.Synced, "caches": c.Synced},
	}
}

// Synced returns an error until the storages are known.
func (c *Controllers) Synced(ctx context.Context) error {
	return errors.Join(c.controller.Synced(ctx), c.volumes.Synced(ctx))
}

// Reconcile updates the StorageClass and the status of one storage.
func (c *Controllers) Reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	state := c.observe(key)
	if state == nil {
		c.probes.remove(key)
		c.affect(key, effect{})
		c.actor.written.Forget(key)
		return controller.Result{}, nil
	}
	plan := decide.Decide(*state)
	if plan.Usable {
		c.probes.add(key, plan.Effective)
		c.probes.report(key, decide.CountLimits(state.Volumes))
	} else {
		c.probes.remove(key)
	}
	e := effect{storage: plan.Effective, mode: plan.Mode, usable: plan.Usable}
	if p := state.Probe; p != nil {
		e.reached, e.offline, e.bricks = p.Err == nil, p.Offline, p.Graph.Bricks
	}
	c.affect(key, e)
	later, err := c.actor.act(ctx, *state, plan)
	return controller.Result{RequeueAfter: later}, err
}

// affect records what the volumes of a storage depend on, and enqueues them if it has changed.
func (c *Controllers) affect(key controller.Key, e effect) {
	c.mu.Lock()
	old := c.effects[key]
	c.effects[key] = e
	c.mu.Unlock()
	if !reflect.DeepEqual(old, e) {
		c.enqueueVolumes(key, e.storage)
	}
}

// modeOf returns the quota mode in effect.
func (c *Controllers) modeOf(s decide.Storage) kadaluv1alpha1.QuotaMode {
	key := controller.Key{Namespace: s.Namespace, Name: s.Name}
	c.mu.Lock()
	e, found := c.effects[key]
	c.mu.Unlock()
	if found && reflect.DeepEqual(e.storage, s) {
		return e.mode
	}
	previous := kadaluv1alpha1.QuotaMode("")
	if ks, found := cacheutil.Lookup[*kadaluv1alpha1.KadaluStorage](c.caches.storages, s.Namespace, s.Name); found {
		previous = ks.Status.QuotaMode
	}
	return decide.Mode(s, previous, cacheutil.ByIndex[*storagev1alpha1.GlusterVolume](c.caches.glusterVolumes, byStorage,
		"", key.String()))
}

// enqueueVolumes enqueues all volumes of a storage: those with metadata, and those with a GlusterVolume.
func (c *Controllers) enqueueVolumes(key controller.Key, s decide.Storage) {
	c.limits.forgetShown(key)
	for _, gv := range cacheutil.ByIndex[*storagev1alpha1.GlusterVolume](c.caches.glusterVolumes, byStorage, "",
		key.String()) {
		for _, volume := range keyOf(gv) {
			c.volumes.Enqueue(volume)
		}
	}
	ledger := c.limits.pool.Of(s.Volume).Ledger()
	if ledger == nil || !s.Limited() {
		return
	}
	entries, _ := ledger.Entries()
	for _, e := range entries {
		if e.Storage == "" || e.Storage == key.String() {
			c.volumes.Enqueue(controller.Key{Namespace: key.String(), Name: e.Directory})
		}
	}
}

// Get returns a storage that can be used.
func (c *Controllers) Get(id string) (s decide.Storage, gone bool, err error) {
	volume, err := decide.ParseVolumeID(id + "/")
	if err != nil {
		return s, true, nil //nolint:nilerr // no storage has such an id
	}
	key := controller.Key{Namespace: volume.Namespace, Name: volume.Storage}
	ks, found := cacheutil.Lookup[*kadaluv1alpha1.KadaluStorage](c.caches.storages, key.Namespace, key.Name)
	if !found {
		return s, true, nil
	}
	// PersistentVolumes and GlusterVolumes do not matter, and there can be many.
	plan := decide.Decide(*c.withClass(&decide.State{
		Storage: ks, Operator: c.operator(), Probe: c.probes.last(key), PersistentVolumes: 1,
	}, key))
	if !plan.Usable {
		text := "its spec.type is not " + decide.TypeExternal
		if plan.Status != nil {
			text = plan.Status.Conditions[0].Message
		}
		return s, false, fmt.Errorf("KadaluStorage %s cannot be used: %w", id, errors.New(text))
	}
	return plan.Effective, false, nil
}

// Claimed reports whether a PersistentVolume exists that is the whole GlusterFS volume of a storage.
func (c *Controllers) Claimed(storageID string) bool {
	for _, pv := range cacheutil.ByIndex[*corev1.PersistentVolume](c.caches.volumes, byStorage, "", storageID) {
		if id, err := decide.ParseVolumeID(pv.Spec.CSI.VolumeHandle); err == nil && id.Whole() {
			return true
		}
	}
	return false
}

// All returns all storages that can be used, ordered by id.
func (c *Controllers) All() []decide.Storage {
	var all []decide.Storage
	for _, ks := range cacheutil.List[*kadaluv1alpha1.KadaluStorage](c.caches.storages) {
		if s, gone, err := c.Get(ks.Namespace + "/" + ks.Name); !gone && err == nil {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b decide.Storage) int { return cmp.Compare(a.ID()+"/", b.ID()+"/") })
	return all
}
