//go:build linux

package app

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/generated/informers/externalversions"
	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/pkg/health"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
	"github.com/weir-dev/weir/services/quotad/internal/ledger"
	"github.com/weir-dev/weir/services/quotad/internal/reconcile"
)

// StandaloneSpec describes quotad without a Kubernetes cluster.
func StandaloneSpec(o *Options) app.Spec {
	return app.Spec{
		Name: decide.Manager, Use: "standalone", Standalone: true,
		Short: "Limit the directories that are described on the volume itself",
		Long: `quotad standalone needs no access to Kubernetes. It limits the directories of the volumes that
/var/lib/glusterd/kadalustorage.info lists, one name per line, and of those with the option user.weir.dev/managed:

  gluster volume set VOLUME user.weir.dev/managed on

Sizes come from the descriptions that gluster-bridge and kadalu write to the volume.`,
		Flags:    o.addFlags,
		Validate: o.validate,
		Setup: func(_ context.Context, env app.Env) (app.Components, error) {
			s, err := setup(env, *o, reconcile.Bricks{})
			if err != nil {
				return app.Components{}, err
			}
			s.reconciler.Descriptions, s.watches.Descriptions = true, true
			return s.components, nil
		},
	}
}

// ClusterSpec describes quotad with a Kubernetes cluster.
func ClusterSpec(o *Options) app.Spec {
	return app.Spec{
		Name: decide.Manager, Use: "cluster", NoLeaderElection: true, NoNamespace: true,
		Short: "Limit the directories of GlusterVolumes and report them",
		Long: `quotad cluster limits the directories that GlusterVolumes name, on the bricks of this node, and reports each
brick in the status:

  kubectl get glustervolumes
  kubectl describe glustervolume NAME

It can run in a DaemonSet, or outside of the Kubernetes cluster with --kubeconfig. Give each node its own user.`,
		Flags: func(flags *pflag.FlagSet) {
			o.addFlags(flags)
			flags.StringVar(&o.NodeName, "node-name", os.Getenv("NODE_NAME"),
				"Kubernetes node of the pod, for the status of GlusterVolumes; empty outside of a cluster (env NODE_NAME)")
		},
		Validate: o.validate,
		Setup: func(_ context.Context, env app.Env) (app.Components, error) {
			return setupCluster(env, *o)
		},
	}
}

// service is what both modes have in common.
type service struct {
	reconciler *reconcile.Reconciler
	watches    *reconcile.Watches
	controller *controller.Controller
	components app.Components
}

func setup(env app.Env, o Options, source reconcile.Source) (*service, error) {
	records, err := ledger.Open(o.StateDir)
	if err != nil {
		return nil, fmt.Errorf("--state-dir=%s: %w", o.StateDir, err)
	}
	metrics := reconcile.NewMetrics(env.Metrics)
	r := &reconcile.Reconciler{
		Dir: o.GlusterdDir, Records: records, Source: source, Interval: o.Interval, Metrics: metrics, Log: env.Log,
	}
	c := controller.New(decide.Manager, r, controller.Options{Workers: 4, Log: env.Log, Metrics: env.Metrics})
	watches := reconcile.NewWatches(env.Log, metrics, c.Enqueue)
	r.Enqueue, r.Changed, r.Remounted, r.Described = c.Enqueue, watches.Set, watches.Retry, watches.Described
	return &service{
		reconciler: r, watches: watches, controller: c,
		components: app.Components{
			Always: []app.Runnable{
				watches.Run,
				func(ctx context.Context) error {
					c.Enqueue(reconcile.Discover)
					err := c.Run(ctx)
					_ = r.Close()
					return err
				},
				r.WatchGlusterd,
				r.WatchMounts,
			},
			ReadyChecks: map[string]health.Check{"glusterd": r.Ready},
		},
	}, nil
}

func setupCluster(env app.Env, o Options) (app.Components, error) {
	client, err := versioned.NewForConfig(env.RESTConfig)
	if err != nil {
		return app.Components{}, fmt.Errorf("make the client of Weir's kinds: %w", err)
	}
	informer := externalversions.NewSharedInformerFactory(client, 0).Storage().V1alpha1().GlusterVolumes().Informer()
	starter := cacheutil.NewStarter(env.Client.Discovery().RESTClient(), env.Log)
	starter.Add(storagev1alpha1.SchemeGroupVersion.WithResource("glustervolumes"), "", informer)
	source, err := reconcile.NewObjects(informer)
	if err != nil {
		return app.Components{}, err
	}
	s, err := setup(env, o, source)
	if err != nil {
		return app.Components{}, err
	}
	s.reconciler.Reporter = &reconcile.Statuses{
		Client: client.StorageV1alpha1().GlusterVolumes(), Source: source, NodeName: o.NodeName,
	}
	err = controller.Watch(s.controller, informer, s.reconciler.Keys,
		controller.StatusOnly[*storagev1alpha1.GlusterVolume])
	s.components.Always = append(s.components.Always, starter.Run)
	s.components.ReadyChecks["caches"] = starter.Synced
	return s.components, err
}
