package lookup

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/weir-dev/weir/apis/contract"
	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
)

// pods caches the pods of Strimzi's Kafka resources and those that policies select, and no others.
type pods struct {
	client    kubernetes.Interface
	namespace string
	left      *departures
	changed   func(policy cache.ObjectName)

	mu      sync.RWMutex
	ctx     context.Context
	strimzi *watch
	of      map[types.UID]*watch
}

// watch is a cache of the pods of one selector.
type watch struct {
	selector string
	informer cache.SharedIndexInformer
	stop     context.CancelFunc
	running  sync.WaitGroup
}

func newPods(client kubernetes.Interface, namespace string, left *departures, changed func(cache.ObjectName)) *pods {
	return &pods{client: client, namespace: namespace, left: left, changed: changed, of: map[types.UID]*watch{}}
}

// start begins to watch Strimzi's pods; the caches of policies live until ctx ends too.
func (p *pods) start(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ctx = ctx
	p.strimzi = p.watch(p.namespace, contract.StrimziKind+"="+contract.StrimziKindKafka, nil)
}

func (p *pods) watch(namespace, selector string, policy *cache.ObjectName) *watch {
	factory := informers.NewSharedInformerFactoryWithOptions(p.client, 0, informers.WithNamespace(namespace), informers.WithTransform(trimPod),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = selector }))
	w := &watch{selector: selector, informer: factory.Core().V1().Pods().Informer()}
	// Only an informer that has been stopped refuses a handler.
	_, _ = w.informer.AddEventHandler(p.left.handler())
	if policy != nil {
		tell := func(any) { p.changed(*policy) }
		_, _ = w.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: tell, UpdateFunc: func(any, any) { p.changed(*policy) }, DeleteFunc: tell})
	}
	ctx, stop := context.WithCancel(p.ctx)
	w.stop = stop
	w.running.Go(func() { w.informer.RunWithContext(ctx) })
	return w
}

// follow makes the caches be those of the policies.
func (p *pods) follow(policies []*drainv1alpha1.KafkaDrainPolicy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx == nil {
		return
	}
	wanted := map[types.UID]bool{}
	for _, policy := range policies {
		selector, err := metav1.LabelSelectorAsSelector(&policy.Spec.PodSelector)
		if err != nil {
			continue
		}
		wanted[policy.UID] = true
		have := p.of[policy.UID]
		if have != nil && have.selector == selector.String() {
			continue
		}
		if have != nil {
			have.stop()
		}
		name := cache.NewObjectName(policy.Namespace, policy.Name)
		p.of[policy.UID] = p.watch(policy.Namespace, selector.String(), &name)
	}
	for uid, w := range p.of {
		if !wanted[uid] {
			w.stop()
			delete(p.of, uid)
		}
	}
}

// get finds a pod in the caches.
func (p *pods) get(namespace, name string) *corev1.Pod {
	p.mu.RLock()
	defer p.mu.RUnlock()
	key := namespace + "/" + name
	if pod := p.strimzi.find(key); pod != nil {
		return pod
	}
	for _, w := range p.of {
		if pod := w.find(key); pod != nil {
			return pod
		}
	}
	return nil
}

func (w *watch) find(key string) *corev1.Pod {
	if w == nil {
		return nil
	}
	object, found, err := w.informer.GetStore().GetByKey(key)
	if err != nil || !found {
		return nil
	}
	pod, _ := object.(*corev1.Pod)
	return pod
}

// selected are the pods of a policy; false until its cache is filled.
func (p *pods) selected(policy types.UID) (found []*corev1.Pod, synced bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	w := p.of[policy]
	if w == nil || !w.informer.HasSynced() {
		return nil, false
	}
	for _, object := range w.informer.GetStore().List() {
		if pod, ok := object.(*corev1.Pod); ok {
			found = append(found, pod)
		}
	}
	return found, true
}

// synced is nil once all caches are filled.
func (p *pods) synced() error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.strimzi == nil || !p.strimzi.informer.HasSynced() {
		return fmt.Errorf("the cache of pods with %s=%s is not filled yet", contract.StrimziKind, contract.StrimziKindKafka)
	}
	for _, w := range p.of {
		if !w.informer.HasSynced() {
			return fmt.Errorf("the cache of pods with %s is not filled yet", w.selector)
		}
	}
	return nil
}
