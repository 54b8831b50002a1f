// Package reconcile writes the status of policies and releases the claims of pods whose replacements are in sync. The
// leader runs it.
package reconcile

import (
	"context"
	"fmt"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/weir-dev/weir/apis/contract"
	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/controller"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/claims"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/lookup"
)

// Caches are the caches of the controllers: those of the reviews, and the Leases of the claims.
type Caches struct {
	*lookup.Lookup
	// Leases of the claims. The owner of Caches runs the informer.
	Leases    cache.SharedIndexInformer
	namespace string
}

// NewCaches returns caches of the claims in one namespace.
func NewCaches(client kubernetes.Interface, l *lookup.Lookup, namespace string) *Caches {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.LabelSelector = contract.LabelComponent + "=" + claims.Component
		}))
	return &Caches{Lookup: l, Leases: factory.Coordination().V1().Leases().Informer(), namespace: namespace}
}

// Synced returns an error until the cache of claims is filled. Without policies there are no claims.
func (c *Caches) Synced(context.Context) error {
	if c.PolicyInformer().HasSynced() && !c.Leases.HasSynced() {
		return fmt.Errorf("the cache of claims is not filled; it needs permission to list and watch leases in "+
			"namespace %s", c.namespace)
	}
	return nil
}

// Lease returns a Lease of a claim, or nil.
func (c *Caches) Lease(name string) *coordinationv1.Lease {
	object, found, err := c.Leases.GetStore().GetByKey(c.namespace + "/" + name)
	if err != nil || !found {
		return nil
	}
	lease, _ := object.(*coordinationv1.Lease)
	return lease
}

// AllLeases returns the Leases of all claims.
func (c *Caches) AllLeases() []*coordinationv1.Lease {
	var all []*coordinationv1.Lease
	for _, object := range c.Leases.GetStore().List() {
		if lease, ok := object.(*coordinationv1.Lease); ok {
			all = append(all, lease)
		}
	}
	return all
}

// PoliciesOfOverlaps maps a changed policy to the policies that it overlaps with, or has overlapped with before: their
// status reports it.
func (c *Caches) PoliciesOfOverlaps(old, updated *drainv1alpha1.KafkaDrainPolicy) []controller.Key {
	if old != nil && updated != nil && controller.StatusOnly(old, updated) {
		return nil
	}
	var keys []controller.Key
	for _, policy := range []*drainv1alpha1.KafkaDrainPolicy{old, updated} {
		if policy != nil {
			for _, other := range c.OverlappingPolicies(policy) {
				keys = append(keys, controller.Self(other)...)
			}
		}
	}
	return keys
}

// PoliciesOfHolders maps a Lease to the policies of its holders.
func PoliciesOfHolders(lease *coordinationv1.Lease) []controller.Key {
	var keys []controller.Key
	for _, h := range claims.Read(lease) {
		if h.Policy != "" {
			keys = append(keys, controller.Key{Namespace: h.Namespace, Name: h.Policy})
		}
	}
	return keys
}
