package lookup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/weir-dev/weir/apis/contract"
	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/cacheutil"
)

// maxWatches is the number of watches for the pods of policies. Each costs about 80 KiB here and more in the API
// server.
const maxWatches = 32

// podCaches contain the pods of Strimzi's Kafka resources and the pods that policies select, and as few other pods as
// possible.
type podCaches struct {
	client    kubernetes.Interface
	namespace string
	now       func() time.Time
	evictions *recentEvictions
	changed   func(*corev1.Pod)
	strimzi   *podCache

	mu         sync.RWMutex
	ctx        context.Context
	byScope    map[scope]*podCache
	configured bool
	wereFilled bool
}

// scope is what a watch selects. An empty namespace means all namespaces, an empty selector all pods.
type scope struct{ namespace, selector string }

// podCache contains the pods of one scope.
type podCache struct {
	scope
	freshness
	informer cache.SharedIndexInformer
	stop     context.CancelFunc
	// started is the state of the informer if a Starter starts it.
	started *cacheutil.Informer
}

// newPodCaches returns caches that call changed with the pods of policies.
func newPodCaches(
	client kubernetes.Interface, namespace string, now func() time.Time, evictions *recentEvictions,
	changed func(*corev1.Pod),
) *podCaches {
	p := &podCaches{
		client: client, namespace: namespace, now: now, evictions: evictions, changed: changed,
		byScope: map[scope]*podCache{},
	}
	p.strimzi = p.newCache(scope{namespace, contract.StrimziKind + "=" + contract.StrimziKindKafka})
	return p
}

// start sets the context in which the caches of policies run.
func (p *podCaches) start(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ctx = ctx
}

func (p *podCaches) newCache(s scope, handlers ...cache.ResourceEventHandler) *podCache {
	c := &podCache{scope: s, freshness: freshness{now: p.now}}
	c.informer = newInformer(p.client, p.client.CoreV1().Pods(s.namespace), s.selector, &corev1.Pod{}, &c.freshness)
	// Only an informer that has been started refuses a transform, and only one that has stopped refuses a handler.
	_ = c.informer.SetTransform(trimPod)
	for _, handler := range append(handlers, p.evictions.handler()) {
		_, _ = c.informer.AddEventHandler(handler)
	}
	return c
}

// fresh reports whether the cache is filled and its watch was heard of recently.
func (c *podCache) fresh() bool { return c.informer.HasSynced() && c.freshness.fresh() }

// has reports whether the cache contains a pod of the namespace.
func (c *podCache) has(namespace string) bool {
	keys, err := c.informer.GetIndexer().IndexKeys(cache.NamespaceIndex, namespace)
	return err != nil || len(keys) > 0
}

func (c *podCache) find(key string) *corev1.Pod {
	object, found, err := c.informer.GetStore().GetByKey(key)
	if err != nil || !found {
		return nil
	}
	pod, _ := object.(*corev1.Pod)
	return pod
}

// handler reports pods before and after an update, because other policies may select them afterwards.
func (p *podCaches) handler() cache.ResourceEventHandler {
	report := func(object any) {
		if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = tombstone.Obj
		}
		if pod, ok := object.(*corev1.Pod); ok {
			p.changed(pod)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: report, DeleteFunc: report,
		UpdateFunc: func(before, after any) { report(before); report(after) },
	}
}

// scopes returns the narrowest scopes that contain the pods of the policies with at most maxWatches watches: what each
// policy selects, or their namespaces, or all pods.
func (p *podCaches) scopes(policies []*drainv1alpha1.KafkaDrainPolicy) map[scope]bool {
	desired := map[scope]bool{}
	for _, policy := range policies {
		s := scope{namespace: policy.Namespace}
		if len(policies) <= maxWatches {
			selector, err := metav1.LabelSelectorAsSelector(&policy.Spec.PodSelector)
			if err != nil {
				continue
			}
			s.selector = selector.String()
		}
		desired[s] = true
	}
	if len(desired) > maxWatches {
		return map[scope]bool{{namespace: p.namespace}: true}
	}
	return desired
}

// setPolicies starts and stops caches according to the policies. They are listed under the lock, so that the last call
// uses the latest list.
func (p *podCaches) setPolicies(policies func() []*drainv1alpha1.KafkaDrainPolicy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx == nil {
		return
	}
	p.configured = true
	desired := p.scopes(policies())
	for s := range desired {
		if p.byScope[s] == nil {
			c := p.newCache(s, p.handler())
			ctx, stop := context.WithCancel(p.ctx)
			c.stop = stop
			go c.informer.RunWithContext(ctx)
			p.byScope[s] = c
		}
	}
	for s, c := range p.byScope {
		if !desired[s] {
			c.stop()
			delete(p.byScope, s)
		}
	}
}

// get returns a pod from the caches, or nil.
func (p *podCaches) get(namespace, name string) *corev1.Pod {
	p.mu.RLock()
	defer p.mu.RUnlock()
	key := namespace + "/" + name
	if pod := p.strimzi.find(key); pod != nil {
		return pod
	}
	for s, c := range p.byScope {
		if s.namespace != "" && s.namespace != namespace {
			continue
		}
		if pod := c.find(key); pod != nil {
			return pod
		}
	}
	return nil
}

// selected returns the pods of a policy. It returns false until their cache is filled.
func (p *podCaches) selected(policy *drainv1alpha1.KafkaDrainPolicy) ([]*corev1.Pod, bool) {
	selector, err := metav1.LabelSelectorAsSelector(&policy.Spec.PodSelector)
	if err != nil {
		return nil, false
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	candidates := []scope{
		{policy.Namespace, selector.String()}, {namespace: policy.Namespace}, {namespace: p.namespace},
	}
	for _, s := range candidates {
		if c := p.byScope[s]; c != nil && c.informer.HasSynced() {
			found, err := corelisters.NewPodLister(c.informer.GetIndexer()).Pods(policy.Namespace).List(selector)
			return found, err == nil
		}
	}
	return nil, false
}

// matching returns the pods of a namespace in all caches whose labels match. A pod of several caches is returned for
// each.
func (p *podCaches) matching(namespace string, selector labels.Selector) []*corev1.Pod {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var found []*corev1.Pod
	for s, c := range p.byScope {
		if s.namespace == "" || s.namespace == namespace {
			// The selector of a list is the only cause of an error.
			pods, _ := corelisters.NewPodLister(c.informer.GetIndexer()).Pods(namespace).List(selector)
			found = append(found, pods...)
		}
	}
	return found
}

// synced returns nil after all caches of policies have been filled once. Caches of later policies do not count: until
// they are filled, their pods are read from the API server. policiesKnown is whether the list of policies is complete.
func (p *podCaches) synced(policiesKnown bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wereFilled || !policiesKnown {
		return nil
	}
	if !p.configured {
		return errors.New("the caches of the policies' pods are not started")
	}
	for _, c := range p.byScope {
		if !c.informer.HasSynced() {
			return fmt.Errorf("the cache of pods %q in namespace %q is not filled", c.selector, c.namespace)
		}
	}
	p.wereFilled = true
	return nil
}
