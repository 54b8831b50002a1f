package reconcile

import (
	"context"
	"errors"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/generated/informers/externalversions"
	connectlisters "github.com/weir-dev/weir/generated/listers/connect/v1"
	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// Indexes of the caches. Their values are namespace/name.
const (
	byConnect   = "connect"   // KafkaConnectors by their KafkaConnect
	byWorker    = "worker"    // KafkaConnectors and KafkaConnects by their worker Secret
	byClaim     = "claim"     // KafkaConnectors and KafkaConnects by the claim of their volume; events by their claim
	byConnector = "connector" // pods by their KafkaConnector
	byName      = "name"      // KafkaConnectors by their name; without a namespace
	byClass     = "class"     // KafkaConnectors, KafkaConnects and PersistentVolumes by StorageClass; without a namespace
)

// comparisonCacheSize is the number of cached comparisons. It suffices for 5,000 connectors and takes about 10 MB.
const comparisonCacheSize = 50_000

// caches holds the shared informers and their indexes.
type caches struct {
	objects informers.SharedInformerFactory
	pods    informers.SharedInformerFactory
	events  informers.SharedInformerFactory
	// configMaps has the ConfigMaps that an older version has created.
	configMaps informers.SharedInformerFactory
	connects   externalversions.SharedInformerFactory
	// starter starts the informers of connects, whose CustomResourceDefinitions can be missing.
	starter *cacheutil.Starter

	connectorLister connectlisters.KafkaConnectorLister
	connectLister   connectlisters.KafkaConnectLister

	comparisons *apply.ComparisonCache
	settings    observed.Settings

	storage *storageCaches
}

func newCaches(
	kube kubernetes.Interface, weir versioned.Interface, namespace string, log *slog.Logger,
) (*caches, error) {
	in := informers.WithNamespace(namespace)
	c := &caches{
		objects: informers.NewSharedInformerFactoryWithOptions(kube, 0, in, informers.WithTransform(trimObject)),
		pods: informers.NewSharedInformerFactoryWithOptions(kube, 0, in, informers.WithTransform(trimPod),
			informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = contract.LabelConnector })),
		events: informers.NewSharedInformerFactoryWithOptions(kube, 0, in,
			informers.WithTransform(cacheutil.Transform(cacheutil.DropManagedFields)),
			informers.WithTweakListOptions(func(o *metav1.ListOptions) {
				o.FieldSelector = fields.Set{
					"involvedObject.kind": "PersistentVolumeClaim",
				}.String()
			})),
		configMaps: informers.NewSharedInformerFactoryWithOptions(kube, 0, in, informers.WithTransform(trimConfigMap),
			informers.WithTweakListOptions(func(o *metav1.ListOptions) {
				o.LabelSelector = contract.LabelManagedBy + "=" + observed.Manager
			})),
		connects: externalversions.NewSharedInformerFactoryWithOptions(weir, 0,
			externalversions.WithNamespace(namespace),
			externalversions.WithTransform(cacheutil.Transform(cacheutil.DropManagedFields))),
		starter:     cacheutil.NewStarter(kube.Discovery().RESTClient(), log),
		comparisons: apply.NewComparisonCache(observed.Manager, comparisonCacheSize),
		storage:     newStorageCaches(kube, log),
	}
	connectors, connects := c.connects.Io().V1().KafkaConnectors(), c.connects.Io().V1().KafkaConnects()
	c.connectorLister, c.connectLister = connectors.Lister(), connects.Lister()
	c.starter.Add(connectv1.SchemeGroupVersion.WithResource("kafkaconnectors"), namespace, connectors.Informer())
	c.starter.Add(connectv1.SchemeGroupVersion.WithResource("kafkaconnects"), namespace, connects.Informer())
	return c, errors.Join(
		cacheutil.AddIndexers(connectors.Informer(), "KafkaConnectors", cache.Indexers{
			byName:    indexByName,
			byConnect: cacheutil.Index(func(c *connectv1.KafkaConnector) string { return nameOf(c.Spec.ConnectRef) }),
			byWorker: cacheutil.Index(
				func(c *connectv1.KafkaConnector) string { return nameOf(c.Spec.WorkerConfigSecret) },
			),
			byClaim: cacheutil.Index(
				func(c *connectv1.KafkaConnector) string { return spec.Merge(c, nil).Volume.ClaimName() },
			),
			byClass: indexByClass(func(c *connectv1.KafkaConnector) string { return spec.Merge(c, nil).Volume.ClaimClass(nil) }),
		}),
		cacheutil.AddIndexers(connects.Informer(), "KafkaConnects", cache.Indexers{
			byWorker: cacheutil.Index(
				func(c *connectv1.KafkaConnect) string { return nameOf(c.Spec.WorkerConfigSecret) },
			),
			byClaim: cacheutil.Index(func(c *connectv1.KafkaConnect) string { return spec.VolumeOf(c).ClaimName() }),
			byClass: indexByClass(func(c *connectv1.KafkaConnect) string { return spec.VolumeOf(c).ClaimClass(nil) }),
		}),
		cacheutil.AddIndexers(c.pods.Core().V1().Pods().Informer(), "pods", cache.Indexers{
			byConnector: cacheutil.Index(func(p *corev1.Pod) string { return p.Labels[contract.LabelConnector] }),
		}),
		cacheutil.AddIndexers(c.events.Core().V1().Events().Informer(), "events", cache.Indexers{
			byClaim: cacheutil.Index(claimOfEvent),
		}),
		c.objects.Core().V1().Secrets().Informer().SetTransform(trimSecret),
		c.storage.addIndexers(),
	)
}

func nameOf(reference *corev1.LocalObjectReference) string {
	if reference == nil {
		return ""
	}
	return reference.Name
}

// run runs the informers until ctx ends.
func (c *caches) run(ctx context.Context) error {
	c.objects.Start(ctx.Done())
	c.pods.Start(ctx.Done())
	c.events.Start(ctx.Done())
	c.configMaps.Start(ctx.Done())
	storage := make(chan error, 1)
	go func() { storage <- c.storage.starter.Run(ctx) }()
	err := errors.Join(c.starter.Run(ctx), <-storage)
	c.objects.Shutdown()
	c.pods.Shutdown()
	c.events.Shutdown()
	c.configMaps.Shutdown()
	return err
}
