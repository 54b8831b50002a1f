package lookup

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/weir-dev/weir/apis/contract"
	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
)

// most is how many watches policies may take; each costs some 80 KiB here, and more in the API server.
const most = 32

// pods caches the pods of Strimzi's Kafka resources and those that policies select, and of other pods as few as that takes.
type podCaches struct {
	client    kubernetes.Interface
	namespace string
	left      *recentEvictions
	changed   func(*corev1.Pod)

	mu      sync.RWMutex
	ctx     context.Context
	strimzi *watch
	of      map[scope]*watch
	filled  bool
}

// scope is what a watch is about: all namespaces or all pods where empty.
type scope struct{ namespace, selector string }

// watch is a cache of the pods of a scope.
type watch struct {
	scope
	informer cache.SharedIndexInformer
	stop     context.CancelFunc
}

// newPods makes caches that tell changed of the pods of policies.
func newPods(client kubernetes.Interface, namespace string, left *recentEvictions, changed func(*corev1.Pod)) *podCaches {
	return &podCaches{client: client, namespace: namespace, left: left, changed: changed, of: map[scope]*watch{}}
}

// start begins to watch Strimzi's pods; the caches of policies live until ctx ends too.
func (p *podCaches) start(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ctx = ctx
	p.strimzi = p.watch(scope{p.namespace, contract.StrimziKind + "=" + contract.StrimziKindKafka})
}

func (p *podCaches) watch(s scope, handlers ...cache.ResourceEventHandler) *watch {
	factory := informers.NewSharedInformerFactoryWithOptions(p.client, 0, informers.WithNamespace(s.namespace), informers.WithTransform(trimPod),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = s.selector }))
	w := &watch{scope: s, informer: factory.Core().V1().Pods().Informer()}
	for _, handler := range append(handlers, p.left.handler()) {
		// Only an informer that has been stopped refuses a handler.
		_, _ = w.informer.AddEventHandler(handler)
	}
	ctx, stop := context.WithCancel(p.ctx)
	w.stop = stop
	go w.informer.RunWithContext(ctx)
	return w
}

// handler tells of pods as they were and as they are: other policies may select them.
func (p *podCaches) handler() cache.ResourceEventHandler {
	tell := func(object any) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		if pod, ok := object.(*corev1.Pod); ok {
			p.changed(pod)
		}
	}
	return cache.ResourceEventHandlerFuncs{AddFunc: tell, UpdateFunc: func(was, is any) { tell(was); tell(is) }, DeleteFunc: tell}
}

// scopes are the narrowest that hold the pods of the policies and are not too many: what each policy selects, or their namespaces,
// or everything.
func (p *podCaches) scopes(policies []*drainv1alpha1.KafkaDrainPolicy) map[scope]bool {
	wanted := map[scope]bool{}
	for _, policy := range policies {
		s := scope{namespace: policy.Namespace}
		if len(policies) <= most {
			selector, err := metav1.LabelSelectorAsSelector(&policy.Spec.PodSelector)
			if err != nil {
				continue
			}
			s.selector = selector.String()
		}
		wanted[s] = true
	}
	if len(wanted) > most {
		return map[scope]bool{{namespace: p.namespace}: true}
	}
	return wanted
}

// follow makes the caches be those of the policies; they are listed under the lock, so that the youngest list is followed last.
func (p *podCaches) follow(policies func() []*drainv1alpha1.KafkaDrainPolicy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx == nil {
		return
	}
	wanted := p.scopes(policies())
	for s := range wanted {
		if p.of[s] == nil {
			p.of[s] = p.watch(s, p.handler())
		}
	}
	for s, w := range p.of {
		if !wanted[s] {
			w.stop()
			delete(p.of, s)
		}
	}
}

// get finds a pod in the caches.
func (p *podCaches) get(namespace, name string) *corev1.Pod {
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

// selected are the pods of a policy; false until their cache is filled.
func (p *podCaches) selected(policy *drainv1alpha1.KafkaDrainPolicy) ([]*corev1.Pod, bool) {
	selector, err := metav1.LabelSelectorAsSelector(&policy.Spec.PodSelector)
	if err != nil {
		return nil, false
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, s := range []scope{{policy.Namespace, selector.String()}, {namespace: policy.Namespace}, {namespace: p.namespace}} {
		if w := p.of[s]; w != nil && w.informer.HasSynced() {
			found, err := corelisters.NewPodLister(w.informer.GetIndexer()).Pods(policy.Namespace).List(selector)
			return found, err == nil
		}
	}
	return nil, false
}

// synced is nil once all caches have been filled; those of policies that come later do not count, the API has their pods.
func (p *podCaches) synced() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.filled {
		return nil
	}
	if p.strimzi == nil || !p.strimzi.informer.HasSynced() {
		return fmt.Errorf("the cache of pods with %s=%s is not filled yet", contract.StrimziKind, contract.StrimziKindKafka)
	}
	for _, w := range p.of {
		if !w.informer.HasSynced() {
			return fmt.Errorf("the cache of pods %q of namespace %q is not filled yet", w.selector, w.namespace)
		}
	}
	p.filled = true
	return nil
}
