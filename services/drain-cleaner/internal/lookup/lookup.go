// Package lookup reads the inputs of decisions from Kubernetes: from informer caches, or from the API server. The
// caches contain Kafka pods, of each only the fields that decisions depend on, and other pods only if there are many
// policies.
package lookup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/cacheutil"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// Options of a Lookup. All fields except PolicyChanged are required.
type Options struct {
	// Kube and Weir read from the API server for reviews. They should have no client-side rate limit.
	Kube kubernetes.Interface
	Weir versioned.Interface
	// CacheKube and CacheWeir fill the caches.
	CacheKube kubernetes.Interface
	CacheWeir versioned.Interface
	// Namespace limits the caches and the policies to one namespace. Empty means all.
	Namespace string
	// PoliciesRequired denies reviews that need policies while the definition of KafkaDrainPolicy or the permission to
	// list policies is missing. Otherwise there are no policies then.
	PoliciesRequired bool
	Now              func() time.Time
	Log              *slog.Logger
	// PolicyChanged is called with each policy whose pods changed.
	PolicyChanged func(cache.ObjectName)
}

// Lookup reads from caches and from the API server.
type Lookup struct {
	options Options
	starter *cacheutil.Starter

	pods      *podCaches
	evictions *recentEvictions

	nodes    *cacheutil.Informer
	budgets  *cacheutil.Informer
	policies *cacheutil.Informer
	// policiesHeard is when the watch of policies was last heard of.
	policiesHeard freshness

	policySelectors *selectors[*drainv1alpha1.KafkaDrainPolicy]
	budgetSelectors *selectors[*policyv1.PodDisruptionBudget]
}

// New returns a Lookup. Run fills its caches.
func New(o Options) (*Lookup, error) {
	l := &Lookup{
		options: o, evictions: newRecentEvictions(o.Now), policiesHeard: freshness{now: o.Now},
		policySelectors: newSelectors(podSelector), budgetSelectors: newSelectors(budgetSelector),
	}
	l.starter = cacheutil.NewStarter(o.CacheKube.Discovery().RESTClient(), o.Log)
	l.pods = newPodCaches(o.CacheKube, o.Namespace, o.Now, l.evictions, l.podChanged)
	l.pods.strimzi.started = l.starter.Add(corev1.SchemeGroupVersion.WithResource("pods"), o.Namespace,
		l.pods.strimzi.informer)

	nodes := newInformer(o.CacheKube, o.CacheKube.CoreV1().Nodes(), "", &corev1.Node{}, &freshness{now: o.Now})
	budgets := newInformer(o.CacheKube, o.CacheKube.PolicyV1().PodDisruptionBudgets(o.Namespace), "",
		&policyv1.PodDisruptionBudget{}, &freshness{now: o.Now})
	policies := newInformer(o.CacheWeir, o.CacheWeir.DrainV1alpha1().KafkaDrainPolicies(o.Namespace), "",
		&drainv1alpha1.KafkaDrainPolicy{}, &l.policiesHeard)
	err := errors.Join(nodes.SetTransform(trimNode), budgets.SetTransform(trimBudget))
	_, policyErr := policies.AddEventHandler(l.policyHandler())
	_, policySelectorErr := policies.AddEventHandler(l.policySelectors.handler())
	_, budgetSelectorErr := budgets.AddEventHandler(l.budgetSelectors.handler())
	if err = errors.Join(err, policyErr, policySelectorErr, budgetSelectorErr); err != nil {
		return nil, fmt.Errorf("set up the caches: %w", err)
	}
	l.nodes = l.starter.Add(corev1.SchemeGroupVersion.WithResource("nodes"), "", nodes)
	l.budgets = l.starter.Add(policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets"), o.Namespace, budgets)
	l.policies = l.starter.Add(drainv1alpha1.SchemeGroupVersion.WithResource("kafkadrainpolicies"), o.Namespace,
		policies)
	return l, nil
}

// policyHandler adjusts the pod caches to the policies.
func (l *Lookup) policyHandler() cache.ResourceEventHandler {
	adjust := func(any) {
		// Before all policies are known, Run waits for them.
		if l.policies.HasSynced() {
			l.pods.setPolicies(l.AllPolicies)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: adjust, DeleteFunc: adjust,
		UpdateFunc: func(before, after any) {
			was, ok := before.(*drainv1alpha1.KafkaDrainPolicy)
			is, alsoOK := after.(*drainv1alpha1.KafkaDrainPolicy)
			if !ok || !alsoOK || was.UID != is.UID || was.Generation != is.Generation {
				adjust(after)
			}
		},
	}
}

// podChanged reports the policies that select a pod.
func (l *Lookup) podChanged(pod *corev1.Pod) {
	if l.options.PolicyChanged == nil {
		return
	}
	for _, policy := range l.selecting(l.cachedPolicies(pod.Namespace), pod.Labels) {
		l.options.PolicyChanged(cache.NewObjectName(policy.Namespace, policy.Name))
	}
}

// PolicyInformer is the cache of policies. It starts when the API server serves policies.
func (l *Lookup) PolicyInformer() cache.SharedIndexInformer { return l.policies }

// WaitForPolicies returns when the cache of policies is filled, or false when ctx ends before.
func (l *Lookup) WaitForPolicies(ctx context.Context) bool {
	return cache.WaitForCacheSync(ctx.Done(), l.policies.HasSynced)
}

// Run fills the caches until ctx ends.
func (l *Lookup) Run(ctx context.Context) error {
	l.pods.start(ctx)
	go func() {
		if l.WaitForPolicies(ctx) {
			l.pods.setPolicies(l.AllPolicies)
		}
	}()
	return l.starter.Run(ctx)
}

// Synced returns nil when the caches are filled. Resources that the API server does not serve or that the service may
// not list do not count, except for policies and the pods that they select if policies are required.
func (l *Lookup) Synced(context.Context) error {
	required := l.options.PoliciesRequired
	return errors.Join(
		synced(l.pods.strimzi.started, required),
		synced(l.nodes, false),
		synced(l.budgets, false),
		synced(l.policies, required),
		l.pods.synced(l.policies.HasSynced()),
	)
}

func synced(i *cacheutil.Informer, required bool) error {
	if !required && unavailable(i) {
		return nil
	}
	return i.Err()
}

// unavailable reports whether the API server does not serve the resource of an informer, or refuses to list it.
func unavailable(i *cacheutil.Informer) bool {
	return !i.Started() && isUnavailable(i.Err())
}

func isUnavailable(err error) bool { return apierrors.IsForbidden(err) || apierrors.IsNotFound(err) }

// RecordEviction records that the eviction of a pod was requested.
func (l *Lookup) RecordEviction(pod *decide.Pod) {
	l.evictions.add(pod.Namespace, pod.Name, pod.Node, pod.UID)
}

// RecentEviction returns the recent eviction of another pod with the same name, or nil.
func (l *Lookup) RecentEviction(pod *decide.Pod) *decide.RecentEviction {
	return l.evictions.find(pod.Namespace, pod.Name, pod.UID)
}
