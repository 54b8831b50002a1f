package lookup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"github.com/weir-dev/weir/apis/contract"
	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/generated/informers/externalversions"
	drainlisters "github.com/weir-dev/weir/generated/listers/drain/v1alpha1"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// Permissions are what the service may look at. Strimzi's Drain Cleaner is given pods to get and to patch and nothing else, and with
// that much Weir's does what Strimzi's does.
type Permissions struct {
	// Pods may be listed and watched, not just read one by one.
	Pods bool
	// Nodes may be listed and watched.
	Nodes bool
	// Policies may be listed and watched, and the API server knows them.
	Policies bool
	// Events may be created.
	Events bool
	// Missing names, for people, what it may not do or does not find.
	Missing []string
}

// ReadPermissions asks the API server what the service may do.
func ReadPermissions(ctx context.Context, client kubernetes.Interface, namespace string) (Permissions, error) {
	var r Permissions
	for _, ask := range []struct {
		answer *bool
		what   authorizationv1.ResourceAttributes
	}{
		{&r.Pods, authorizationv1.ResourceAttributes{Namespace: namespace, Verb: "watch", Resource: "pods"}},
		{&r.Nodes, authorizationv1.ResourceAttributes{Verb: "watch", Resource: "nodes"}},
		{&r.Policies, authorizationv1.ResourceAttributes{Namespace: namespace, Verb: "watch", Group: drainv1alpha1.GroupName, Resource: "kafkadrainpolicies"}},
		{&r.Events, authorizationv1.ResourceAttributes{Namespace: namespace, Verb: "create", Group: eventsv1.GroupName, Resource: "events"}},
	} {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &ask.what}}
		done, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return r, fmt.Errorf("ask for the right to %s %s: %w", ask.what.Verb, ask.what.Resource, err)
		}
		if *ask.answer = done.Status.Allowed; !*ask.answer {
			r.Missing = append(r.Missing, "the right to "+ask.what.Verb+" "+ask.what.Resource)
		}
	}
	if r.Policies {
		_, err := client.Discovery().ServerResourcesForGroupVersion(drainv1alpha1.SchemeGroupVersion.String())
		if apierrors.IsNotFound(err) {
			r.Policies, r.Missing = false, append(r.Missing, "the definition of KafkaDrainPolicy")
		} else if err != nil {
			return r, fmt.Errorf("look for the definition of KafkaDrainPolicy: %w", err)
		}
	}
	return r, nil
}

// Lookup answers from caches, and from the API where it is asked to or a cache has nothing.
type Lookup struct {
	kube        kubernetes.Interface
	weir        versioned.Interface
	permissions Permissions
	namespace   string

	pods     *podCaches
	left     *recentEvictions
	nodes    cache.SharedIndexInformer
	policies cache.SharedIndexInformer
	lister   drainlisters.KafkaDrainPolicyLister
	started  atomic.Bool
}

// New makes a Lookup for the namespace, or all where it is empty. changed is told of policies whose pods changed.
func New(kube kubernetes.Interface, weir versioned.Interface, permissions Permissions, namespace string, now func() time.Time, changed func(cache.ObjectName)) (*Lookup, error) {
	left := newRecentEvictions(now)
	l := &Lookup{kube: kube, weir: weir, permissions: permissions, namespace: namespace, left: left}
	l.pods = newPods(kube, namespace, left, func(pod *corev1.Pod) {
		// A lister's list cannot fail.
		all, _ := l.lister.KafkaDrainPolicies(pod.Namespace).List(labels.Everything())
		for _, policy := range selecting(all, pod.Labels) {
			changed(cache.NewObjectName(policy.Namespace, policy.Name))
		}
	})
	if permissions.Nodes {
		l.nodes = informers.NewSharedInformerFactoryWithOptions(kube, 0, informers.WithTransform(trimNode)).Core().V1().Nodes().Informer()
	}
	if !permissions.Policies {
		return l, nil
	}
	policies := externalversions.NewSharedInformerFactoryWithOptions(weir, 0, externalversions.WithNamespace(namespace)).Drain().V1alpha1().KafkaDrainPolicies()
	l.policies, l.lister = policies.Informer(), policies.Lister()
	follow := func(any) { l.follow() }
	change := func(before, after any) {
		was, ok := before.(*drainv1alpha1.KafkaDrainPolicy)
		is, alsoOK := after.(*drainv1alpha1.KafkaDrainPolicy)
		if !ok || !alsoOK || was.UID != is.UID || was.Generation != is.Generation {
			l.follow()
		}
	}
	if _, err := l.policies.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: follow, UpdateFunc: change, DeleteFunc: follow}); err != nil {
		return nil, fmt.Errorf("watch policies: %w", err)
	}
	return l, nil
}

func (l *Lookup) follow() {
	// Until all policies are known, Run waits for that.
	if l.permissions.Pods && l.policies.HasSynced() {
		l.pods.follow(l.AllPolicies)
	}
}

// PolicyInformer is the cache of policies; nil where the service may not see them.
func (l *Lookup) PolicyInformer() cache.SharedIndexInformer { return l.policies }

// NodeInformer is the cache of nodes; nil where the service may not see them.
func (l *Lookup) NodeInformer() cache.SharedIndexInformer { return l.nodes }

// Run fills the caches, and keeps them so until ctx ends.
func (l *Lookup) Run(ctx context.Context) error {
	if l.permissions.Pods {
		l.pods.start(ctx)
	}
	for _, informer := range []cache.SharedIndexInformer{l.nodes, l.policies} {
		if informer != nil {
			go informer.RunWithContext(ctx)
		}
	}
	if l.policies != nil && cache.WaitForCacheSync(ctx.Done(), l.policies.HasSynced) {
		l.follow()
	}
	l.started.Store(true)
	<-ctx.Done()
	return nil
}

// Synced is nil once all caches are filled.
func (l *Lookup) Synced(context.Context) error {
	switch {
	case !l.started.Load():
		return errors.New("the caches are not filled yet")
	case l.nodes != nil && !l.nodes.HasSynced():
		return errors.New("the cache of nodes is not filled yet")
	case l.permissions.Pods:
		return l.pods.synced()
	}
	return nil
}

// Pod finds a pod: in a cache, else in the API; with live only there. Nil where there is none.
func (l *Lookup) Pod(ctx context.Context, namespace, name string, live bool) (*decide.Pod, error) {
	if !live {
		if pod := l.pods.get(namespace, name); pod != nil {
			return Pod(pod), nil
		}
	}
	pod, err := l.kube.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read pod %s/%s: %w", namespace, name, err)
	}
	return Pod(pod), nil
}

// Asked notes that the pod was told to leave.
func (l *Lookup) Asked(pod *decide.Pod) { l.left.asked(pod.Namespace, pod.Name, pod.Node, pod.UID) }

// Replaces tells whether the pod has taken the place of one that was told to leave, and what node that has left.
func (l *Lookup) Replaces(pod *decide.Pod) (node string, replaces bool) {
	return l.left.replaced(pod.Namespace, pod.Name, pod.UID)
}

// Policies are those that select the pod, by name.
func (l *Lookup) Policies(ctx context.Context, pod *decide.Pod, live bool) ([]*drainv1alpha1.KafkaDrainPolicy, error) {
	if !l.permissions.Policies || l.namespace != "" && l.namespace != pod.Namespace {
		return nil, nil
	}
	var all []*drainv1alpha1.KafkaDrainPolicy
	if live || !l.policies.HasSynced() {
		list, err := l.weir.DrainV1alpha1().KafkaDrainPolicies(pod.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("read the policies of namespace %s: %w", pod.Namespace, err)
		}
		for i := range list.Items {
			all = append(all, &list.Items[i])
		}
	} else {
		var err error
		if all, err = l.lister.KafkaDrainPolicies(pod.Namespace).List(labels.Everything()); err != nil {
			return nil, fmt.Errorf("list policies: %w", err)
		}
	}
	found := selecting(all, pod.Labels)
	slices.SortFunc(found, func(a, b *drainv1alpha1.KafkaDrainPolicy) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

// selecting are those of a pod's namespace that select it.
func selecting(policies []*drainv1alpha1.KafkaDrainPolicy, of labels.Set) []*drainv1alpha1.KafkaDrainPolicy {
	var found []*drainv1alpha1.KafkaDrainPolicy
	for _, policy := range policies {
		selector, err := metav1.LabelSelectorAsSelector(&policy.Spec.PodSelector)
		if err == nil && selector.Matches(of) {
			found = append(found, policy)
		}
	}
	return found
}

// Policy finds a policy in the cache; nil where there is none.
func (l *Lookup) Policy(namespace, name string) *drainv1alpha1.KafkaDrainPolicy {
	policy, err := l.lister.KafkaDrainPolicies(namespace).Get(name)
	if err != nil {
		return nil
	}
	return policy
}

// AllPolicies are those in the cache.
func (l *Lookup) AllPolicies() []*drainv1alpha1.KafkaDrainPolicy {
	all, err := l.lister.List(labels.Everything())
	if err != nil {
		return nil
	}
	return all
}

// Selected are the pods of a policy in the cache; false until that is filled.
func (l *Lookup) Selected(policy *drainv1alpha1.KafkaDrainPolicy) ([]*decide.Pod, bool) {
	found, synced := l.pods.selected(policy)
	pods := make([]*decide.Pod, len(found))
	for i, pod := range found {
		pods[i] = Pod(pod)
	}
	return pods, synced
}

// Node finds a node: in the cache, else in the API; with live only there.
func (l *Lookup) Node(ctx context.Context, name string, live bool) (decide.Node, error) {
	if !live && l.nodes != nil {
		if object, found, err := l.nodes.GetStore().GetByKey(name); err == nil && found {
			if node, ok := object.(*corev1.Node); ok {
				return Node(node), nil
			}
		}
	}
	node, err := l.kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return decide.Node{Name: name, Gone: true}, nil
	case apierrors.IsForbidden(err) && !l.permissions.Nodes:
		return decide.Node{Name: name, Hidden: true}, nil
	case err != nil:
		return decide.Node{}, fmt.Errorf("read node %s: %w", name, err)
	}
	return Node(node), nil
}

// Pinned are the claims of the pod whose volumes no other node can mount.
func (l *Lookup) Pinned(ctx context.Context, pod *decide.Pod) ([]string, error) {
	var pinned []string
	for _, name := range pod.Claims {
		claim, err := l.kube.CoreV1().PersistentVolumeClaims(pod.Namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && claim.Spec.VolumeName == "" {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read claim %s/%s: %w", pod.Namespace, name, err)
		}
		volume, err := l.kube.CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read volume %s: %w", claim.Spec.VolumeName, err)
		}
		if l.pinnedTo(volume, pod.Node) {
			pinned = append(pinned, name)
		}
	}
	return pinned, nil
}

// pinnedTo tells whether no node but this one can mount the volume.
func (l *Lookup) pinnedTo(volume *corev1.PersistentVolume, node string) bool {
	if volume.Labels[contract.LabelLocalVolume] == "true" {
		return true
	}
	if volume.Spec.NodeAffinity == nil || volume.Spec.NodeAffinity.Required == nil || l.nodes == nil {
		return false
	}
	selector, err := nodeaffinity.NewNodeSelector(volume.Spec.NodeAffinity.Required)
	if err != nil {
		return false
	}
	for _, object := range l.nodes.GetStore().List() {
		if other, ok := object.(*corev1.Node); ok && other.Name != node && selector.Match(other) {
			return false
		}
	}
	return true
}

// Connector finds the KafkaConnector whose task or connector a pod runs; nil where there is none.
func (l *Lookup) Connector(ctx context.Context, namespace, name string) (*decide.Connector, error) {
	if name == "" {
		return nil, nil
	}
	found, err := l.weir.IoV1().KafkaConnectors(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read KafkaConnector %s/%s: %w", namespace, name, err)
	}
	return connector(found), nil
}

// Secret reads the data of a Secret.
func (l *Lookup) Secret(ctx context.Context, namespace, name string) (map[string][]byte, error) {
	secret, err := l.kube.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsForbidden(err) {
		return nil, fmt.Errorf("drain-cleaner may not read it; bind the ClusterRole weir-drain-cleaner-secrets in namespace %s: %w", namespace, err)
	}
	if err != nil {
		return nil, err
	}
	return secret.Data, nil
}

func itoa(n int32) string { return strconv.Itoa(int(n)) }

// LivePolicy reads a policy from the API server. It returns nil if the policy does not exist.
func (l *Lookup) LivePolicy(ctx context.Context, namespace, name string) (*drainv1alpha1.KafkaDrainPolicy, error) {
	policy, err := l.weir.DrainV1alpha1().KafkaDrainPolicies(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read policy %s/%s: %w", namespace, name, err)
	}
	return policy, nil
}
