package lookup

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/cacheutil"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// WithoutKafka reports whether the caches show that a namespace has neither policies nor Strimzi's pods. It makes no
// request. The input comes from synced caches only if all their watches were heard of recently.
func (l *Lookup) WithoutKafka(namespace string) decide.Input[bool] {
	outside := l.options.Namespace != "" && l.options.Namespace != namespace
	if outside || !l.pods.strimzi.fresh() || l.pods.strimzi.has(namespace) {
		return decide.FromCache(false)
	}
	if !l.options.PoliciesRequired && unavailable(l.policies) {
		return decide.FromSyncedCache(true)
	}
	if !l.policies.HasSynced() || !l.policiesHeard.fresh() || len(l.cachedPolicies(namespace)) > 0 {
		return decide.FromCache(false)
	}
	return decide.FromSyncedCache(true)
}

// Pod reads a pod from the caches or, if they do not have it or live is true, from the API server. The value is nil if
// the pod does not exist.
func (l *Lookup) Pod(ctx context.Context, namespace, name string, live bool) decide.Input[*decide.Pod] {
	if !live {
		if pod := l.pods.get(namespace, name); pod != nil {
			return decide.FromCache(convertPod(pod))
		}
	}
	pod, err := l.options.Kube.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return decide.FromLiveRead[*decide.Pod](nil)
	case err != nil:
		return decide.Failed[*decide.Pod](fmt.Errorf("read pod %s/%s: %w", namespace, name, err))
	}
	return decide.FromLiveRead(convertPod(pod))
}

// Policies returns the policies that select the pod, sorted by name. It reads them from the API server if live is true
// or the cache is not filled.
func (l *Lookup) Policies(
	ctx context.Context, pod *decide.Pod, live bool,
) decide.Input[[]*drainv1alpha1.KafkaDrainPolicy] {
	type input = []*drainv1alpha1.KafkaDrainPolicy
	if l.options.Namespace != "" && l.options.Namespace != pod.Namespace {
		return decide.FromLiveRead[input](nil)
	}
	if !live && l.policies.HasSynced() {
		found := l.selecting(l.cachedPolicies(pod.Namespace), pod.Labels)
		if l.policiesHeard.fresh() {
			return decide.FromSyncedCache(found)
		}
		return decide.FromCache(found)
	}
	if !l.options.PoliciesRequired && unavailable(l.policies) {
		return decide.FromLiveRead[input](nil)
	}
	list, err := l.options.Weir.DrainV1alpha1().KafkaDrainPolicies(pod.Namespace).List(ctx, metav1.ListOptions{})
	switch {
	case !l.options.PoliciesRequired && isUnavailable(err):
		return decide.FromLiveRead[input](nil)
	case err != nil:
		return decide.Failed[input](fmt.Errorf("list the policies of namespace %s: %w", pod.Namespace, err))
	}
	var all input
	for i := range list.Items {
		all = append(all, &list.Items[i])
	}
	return decide.FromLiveRead(l.selecting(all, pod.Labels))
}

// selecting returns the policies whose selector matches, sorted by name. They are of the pod's namespace.
func (l *Lookup) selecting(
	policies []*drainv1alpha1.KafkaDrainPolicy, pod labels.Set,
) []*drainv1alpha1.KafkaDrainPolicy {
	var found []*drainv1alpha1.KafkaDrainPolicy
	for _, policy := range policies {
		if l.policySelectors.of(policy).Matches(pod) {
			found = append(found, policy)
		}
	}
	slices.SortFunc(found, func(a, b *drainv1alpha1.KafkaDrainPolicy) int { return strings.Compare(a.Name, b.Name) })
	return found
}

func podSelector(policy *drainv1alpha1.KafkaDrainPolicy) *metav1.LabelSelector {
	return &policy.Spec.PodSelector
}

func budgetSelector(b *policyv1.PodDisruptionBudget) *metav1.LabelSelector { return b.Spec.Selector }

func (l *Lookup) cachedPolicies(namespace string) []*drainv1alpha1.KafkaDrainPolicy {
	return inNamespace[*drainv1alpha1.KafkaDrainPolicy](l.policies, namespace)
}

// inNamespace returns the objects of one namespace in a cache.
func inNamespace[T any](informer cache.SharedIndexInformer, namespace string) []T {
	objects, err := informer.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
	if err != nil {
		return nil
	}
	var found []T
	for _, o := range objects {
		if typed, ok := o.(T); ok {
			found = append(found, typed)
		}
	}
	return found
}

// Policy returns a policy from the cache, or nil.
func (l *Lookup) Policy(namespace, name string) *drainv1alpha1.KafkaDrainPolicy {
	policy, _ := cacheutil.Lookup[*drainv1alpha1.KafkaDrainPolicy](l.policies, namespace, name)
	return policy
}

// LivePolicy reads a policy from the API server. It returns nil if the policy does not exist.
func (l *Lookup) LivePolicy(ctx context.Context, namespace, name string) (*drainv1alpha1.KafkaDrainPolicy, error) {
	policies := l.options.Weir.DrainV1alpha1().KafkaDrainPolicies(namespace)
	policy, err := cacheutil.Optional(policies.Get(ctx, name, metav1.GetOptions{}))
	if err != nil {
		return nil, fmt.Errorf("read policy %s/%s: %w", namespace, name, err)
	}
	return policy, nil
}

// OverlappingPolicies returns the policies that select a pod which the given policy selects too, the policy included.
// The pods are those in the caches: PolicyChanged reports the policies of pods that reach a cache later.
func (l *Lookup) OverlappingPolicies(policy *drainv1alpha1.KafkaDrainPolicy) []*drainv1alpha1.KafkaDrainPolicy {
	pods := l.pods.matching(policy.Namespace, l.policySelectors.of(policy))
	return slices.DeleteFunc(l.cachedPolicies(policy.Namespace), func(other *drainv1alpha1.KafkaDrainPolicy) bool {
		selector := l.policySelectors.of(other)
		return !slices.ContainsFunc(pods, func(pod *corev1.Pod) bool { return selector.Matches(labels.Set(pod.Labels)) })
	})
}

// AllPolicies returns the policies in the cache.
func (l *Lookup) AllPolicies() []*drainv1alpha1.KafkaDrainPolicy {
	return cacheutil.List[*drainv1alpha1.KafkaDrainPolicy](l.policies)
}

// Selected returns the pods of a policy from the cache. It returns false while the cache is not filled.
func (l *Lookup) Selected(policy *drainv1alpha1.KafkaDrainPolicy) ([]*decide.Pod, bool) {
	found, synced := l.pods.selected(policy)
	pods := make([]*decide.Pod, len(found))
	for i, pod := range found {
		pods[i] = convertPod(pod)
	}
	return pods, synced
}

// Node reads a node from the cache or, if the cache does not have it or live is true, from the API server.
func (l *Lookup) Node(ctx context.Context, name string, live bool) decide.Input[decide.Node] {
	if name == "" {
		// Nothing is known about a node without a name.
		return decide.FromLiveRead(decide.Node{Forbidden: true})
	}
	if !live {
		if object, found, err := l.nodes.GetStore().GetByKey(name); err == nil && found {
			if node, ok := object.(*corev1.Node); ok {
				return decide.FromCache(convertNode(node))
			}
		}
	}
	node, err := l.options.Kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return decide.FromLiveRead(decide.Node{Name: name, Deleted: true})
	case apierrors.IsForbidden(err):
		return decide.FromLiveRead(decide.Node{Name: name, Forbidden: true})
	case err != nil:
		return decide.Failed[decide.Node](fmt.Errorf("read node %s: %w", name, err))
	}
	return decide.FromLiveRead(convertNode(node))
}

// Budgets returns the PodDisruptionBudgets that select the pod. Without the permission to list them there are none: the
// API server enforces them in any case.
func (l *Lookup) Budgets(ctx context.Context, pod *decide.Pod, live bool) decide.Input[[]decide.Budget] {
	if !live && l.budgets.HasSynced() {
		return decide.FromCache(l.budgetsOf(inNamespace[*policyv1.PodDisruptionBudget](l.budgets, pod.Namespace), pod))
	}
	list, err := l.options.Kube.PolicyV1().PodDisruptionBudgets(pod.Namespace).List(ctx, metav1.ListOptions{})
	switch {
	case apierrors.IsForbidden(err):
		return decide.FromLiveRead[[]decide.Budget](nil)
	case err != nil:
		return decide.Failed[[]decide.Budget](fmt.Errorf("list the PodDisruptionBudgets of namespace %s: %w",
			pod.Namespace, err))
	}
	all := make([]*policyv1.PodDisruptionBudget, len(list.Items))
	for i := range list.Items {
		all[i] = &list.Items[i]
	}
	return decide.FromLiveRead(l.budgetsOf(all, pod))
}

// budgetsOf returns the budgets whose selector matches the pod, sorted by name.
func (l *Lookup) budgetsOf(all []*policyv1.PodDisruptionBudget, pod *decide.Pod) []decide.Budget {
	var found []decide.Budget
	for _, b := range all {
		if l.budgetSelectors.of(b).Matches(labels.Set(pod.Labels)) {
			found = append(found, convertBudget(b))
		}
	}
	slices.SortFunc(found, func(a, b decide.Budget) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// Connector reads the KafkaConnector of a pod from the API server. The value is nil if it does not exist.
func (l *Lookup) Connector(ctx context.Context, namespace, name string) decide.Input[*decide.Connector] {
	if name == "" {
		return decide.FromLiveRead[*decide.Connector](nil)
	}
	found, err := l.options.Weir.IoV1().KafkaConnectors(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return decide.FromLiveRead[*decide.Connector](nil)
	case err != nil:
		return decide.Failed[*decide.Connector](fmt.Errorf("read KafkaConnector %s/%s: %w", namespace, name, err))
	}
	return decide.FromLiveRead(convertConnector(found))
}

// Secret reads the data of a Secret.
func (l *Lookup) Secret(ctx context.Context, namespace, name string) (map[string][]byte, error) {
	secret, err := l.options.Kube.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsForbidden(err) {
		return nil, fmt.Errorf("drain-cleaner has no permission to read it; bind the ClusterRole "+
			"weir-drain-cleaner-secrets in namespace %s: %w", namespace, err)
	}
	if err != nil {
		return nil, err
	}
	return secret.Data, nil
}
