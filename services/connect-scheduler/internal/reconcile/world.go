package reconcile

import (
	"errors"
	"fmt"

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
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
)

// Indexes of the caches; their values are namespace/name.
const (
	byConnect   = "connect"   // KafkaConnectors by the KafkaConnect that they refer to
	byWorker    = "worker"    // KafkaConnectors and KafkaConnects by their worker Secret
	byClaim     = "claim"     // KafkaConnectors and KafkaConnects by the claim of their volume; events by the claim that they are about
	byConnector = "connector" // pods by their KafkaConnector
)

// remembered is the number of objects whose comparison is remembered: those of some 5,000 connectors, in about 10 MB.
const remembered = 50_000

// world is what connect-scheduler sees: shared informers, and the indexes that its questions need.
type world struct {
	objects  informers.SharedInformerFactory
	pods     informers.SharedInformerFactory
	events   informers.SharedInformerFactory
	connects externalversions.SharedInformerFactory

	connectorLister connectlisters.KafkaConnectorLister
	connectLister   connectlisters.KafkaConnectLister

	compared *apply.ComparisonCache
}

func newWorld(kube kubernetes.Interface, weir versioned.Interface, namespace string) (*world, error) {
	in := informers.WithNamespace(namespace)
	w := &world{
		objects: informers.NewSharedInformerFactoryWithOptions(kube, 0, in, informers.WithTransform(forgetForeign)),
		pods: informers.NewSharedInformerFactoryWithOptions(kube, 0, in, informers.WithTransform(forgetSpecs),
			informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = contract.LabelConnector })),
		events: informers.NewSharedInformerFactoryWithOptions(kube, 0, in, informers.WithTransform(forgetManagers),
			informers.WithTweakListOptions(func(o *metav1.ListOptions) {
				o.FieldSelector = fields.Set{"involvedObject.kind": "PersistentVolumeClaim", "type": corev1.EventTypeWarning}.String()
			})),
		connects: externalversions.NewSharedInformerFactoryWithOptions(weir, 0, externalversions.WithNamespace(namespace), externalversions.WithTransform(forgetManagers)),
	}
	w.compared = apply.NewComparisonCache(remembered)
	connectors := w.connects.Io().V1().KafkaConnectors()
	connects := w.connects.Io().V1().KafkaConnects()
	w.connectorLister, w.connectLister = connectors.Lister(), connects.Lister()
	return w, errors.Join(
		indexed(connectors.Informer(), "KafkaConnectors", cache.Indexers{
			byConnect: index(func(c *connectv1.KafkaConnector) string { return refName(c.Spec.ConnectRef) }),
			byWorker:  index(func(c *connectv1.KafkaConnector) string { return refName(c.Spec.WorkerConfigSecret) }),
			byClaim:   index(func(c *connectv1.KafkaConnector) string { return decide.ClaimOf(c, nil) }),
		}),
		indexed(connects.Informer(), "KafkaConnects", cache.Indexers{
			byWorker: index(func(c *connectv1.KafkaConnect) string { return refName(c.Spec.WorkerConfigSecret) }),
			byClaim:  index(decide.ClaimOfConnect),
		}),
		indexed(w.pods.Core().V1().Pods().Informer(), "pods", cache.Indexers{
			byConnector: index(func(p *corev1.Pod) string { return p.Labels[contract.LabelConnector] }),
		}),
		indexed(w.events.Core().V1().Events().Informer(), "events", cache.Indexers{
			byClaim: index(func(e *corev1.Event) string { return e.InvolvedObject.Name }),
		}),
		transformed(w.objects.Core().V1().Secrets().Informer(), "secrets", forgetValues),
	)
}

func indexed(informer cache.SharedIndexInformer, what string, indexers cache.Indexers) error {
	if err := informer.AddIndexers(indexers); err != nil {
		return fmt.Errorf("index %s: %w", what, err)
	}
	return nil
}

func transformed(informer cache.SharedIndexInformer, what string, transform cache.TransformFunc) error {
	if err := informer.SetTransform(transform); err != nil {
		return fmt.Errorf("transform %s: %w", what, err)
	}
	return nil
}

// index files an object under the name that of gives, in its own namespace; under none where the name is empty.
func index[T metav1.Object](of func(T) string) cache.IndexFunc {
	return func(object any) ([]string, error) {
		typed, ok := object.(T)
		if !ok {
			return nil, nil
		}
		name := of(typed)
		if name == "" {
			return nil, nil
		}
		return []string{cache.NewObjectName(typed.GetNamespace(), name).String()}, nil
	}
}

// find returns the objects that are filed under a name. That an index exists is settled when the world is made.
func find[T any](informer cache.SharedIndexInformer, by, namespace, name string) []T {
	objects, _ := informer.GetIndexer().ByIndex(by, cache.NewObjectName(namespace, name).String())
	found := make([]T, 0, len(objects))
	for _, object := range objects {
		if typed, ok := object.(T); ok {
			found = append(found, typed)
		}
	}
	return found
}

func refName(reference *corev1.LocalObjectReference) string {
	if reference == nil {
		return ""
	}
	return reference.Name
}

func (w *world) start(stop <-chan struct{}) {
	w.objects.Start(stop)
	w.pods.Start(stop)
	w.events.Start(stop)
	w.connects.Start(stop)
}

func (w *world) shutdown() {
	w.objects.Shutdown()
	w.pods.Shutdown()
	w.events.Shutdown()
	w.connects.Shutdown()
}
