//go:build linux

// Package reconcile connects the decisions of gluster-bridge with the Kubernetes API: observe.go reads the state from
// the caches, act.go carries out the plan, probe.go mounts the volumes, and reconciler.go connects them.
package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/pkg/health"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/gluster"
)

// Scheme returns a scheme with the types of Kubernetes and of apis/kadalu.
func Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, kadaluv1alpha1.AddToScheme} {
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
	// Pool has the mounts.
	Pool *gluster.Pool
}

// Controllers reconcile KadaluStorages and tell the CSI services which storages can be used.
type Controllers struct {
	caches     *caches
	actor      actor
	probes     *probes
	controller *controller.Controller
}

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
	c := &Controllers{caches: caches, actor: actor{kube: env.Client, weir: weir, now: env.Now}}
	c.controller = controller.New("kadalustorages", c, controller.Options{
		Workers: o.Workers, Log: env.Log, Metrics: env.Metrics,
	})
	c.probes = newProbes(o, env.Log, env.Metrics, c.controller.Enqueue)
	return c, caches.watch(c.controller)
}

// Components are the parts of the process that the controllers need.
func (c *Controllers) Components() app.Components {
	return app.Components{
		Always:      []app.Runnable{c.caches.run, c.probes.run, c.controller.Run},
		ReadyChecks: map[string]health.Check{"definitions": c.caches.starter.Synced, "caches": c.Synced},
	}
}

// Synced returns an error until the storages are known.
func (c *Controllers) Synced(ctx context.Context) error { return c.controller.Synced(ctx) }

// Reconcile updates the StorageClass and the status of one storage.
func (c *Controllers) Reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	state := c.observe(key)
	if state == nil {
		c.probes.remove(key)
		return controller.Result{}, nil
	}
	plan := decide.Decide(*state)
	if plan.Usable {
		c.probes.add(key, plan.Effective)
	} else {
		c.probes.remove(key)
	}
	return controller.Result{}, c.actor.act(ctx, *state, plan)
}

// Get returns a storage that can be used.
func (c *Controllers) Get(id string) (s decide.Storage, gone bool, err error) {
	volume, err := decide.ParseVolumeID(id + "/")
	if err != nil {
		return s, true, nil //nolint:nilerr // no storage has such an id
	}
	state := c.observe(controller.Key{Namespace: volume.Namespace, Name: volume.Storage})
	if state == nil {
		return s, true, nil
	}
	plan := decide.Decide(*state)
	if !plan.Usable {
		text := "its spec.type is not " + decide.TypeExternal
		if plan.Status != nil {
			text = plan.Status.Conditions[0].Message
		}
		return s, false, fmt.Errorf("KadaluStorage %s cannot be used: %w", id, errors.New(text))
	}
	return plan.Effective, false, nil
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
