package reconcile

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/cache"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
)

// reservations is held while a volume is placed or a size is reserved, until the status is written. Two sets never
// reserve the same bytes: each reservation sees all earlier ones, also those that the caches have not observed yet.
type reservations struct {
	sync.Mutex
	// started is set after the sets and agents were read from the API server: another leader may have written objects that
	// the caches have not observed yet. It is reset after a write with an unknown result.
	started bool
	// sets and agents are the objects that the caches may not have observed yet.
	sets   recent[*storagev1alpha1.KafkaLocalVolumeSet]
	agents recent[*storagev1alpha1.LocalVolumeNode]
}

// start reads all sets and agents unless it has read them.
func (r *reservations) start(ctx context.Context, weir versioned.Interface) error {
	if r.started {
		return nil
	}
	sets, err := weir.StorageV1alpha1().KafkaLocalVolumeSets("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list KafkaLocalVolumeSets: %w", err)
	}
	agents, err := weir.StorageV1alpha1().LocalVolumeNodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list LocalVolumeNodes: %w", err)
	}
	r.sets, r.agents = recent[*storagev1alpha1.KafkaLocalVolumeSet]{}, recent[*storagev1alpha1.LocalVolumeNode]{}
	for i := range sets.Items {
		r.sets.add(&sets.Items[i])
	}
	for i := range agents.Items {
		r.agents.add(&agents.Items[i])
	}
	r.started = true
	return nil
}

// all returns all sets and agents, from the caches and from what they have not observed yet.
func (r *reservations) all(
	c *caches,
) ([]*storagev1alpha1.KafkaLocalVolumeSet, map[string]*storagev1alpha1.LocalVolumeNode) {
	return r.sets.merge(c.allSets(), c.sets.GetStore()), byName(r.agents.merge(c.allAgents(), c.agents.GetStore()))
}

// observe reads the state of a set from the caches and from what they have not observed yet. It returns nil if the set
// does not exist.
func (r *reservations) observe(c *caches, key controller.Key, now time.Time) *observed.State {
	sets, agents := r.all(c)
	s := &observed.State{Agents: agents, Now: now}
	for _, set := range sets {
		if set.Namespace == key.Namespace && set.Name == key.Name {
			s.Set = set
		} else {
			s.Others = append(s.Others, set)
		}
	}
	if s.Set == nil || s.Set.DeletionTimestamp != nil {
		return nil
	}
	c.observeObjects(s)
	return s
}

// recent has objects as the API server returned them.
type recent[O metav1.Object] map[types.NamespacedName]O

func (r recent[O]) add(object O) {
	r[types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}] = object
}

// merge returns the objects of a cache, with the recent ones that it has not observed yet in place of older ones. It
// forgets the others.
func (r recent[O]) merge(cached []O, store cache.Store) []O {
	seen := store.LastStoreSyncResourceVersion()
	for name, object := range r {
		// Versions of an aggregated API server may not be comparable.
		order, err := resourceversion.CompareResourceVersion(seen, object.GetResourceVersion())
		if err != nil || order >= 0 {
			delete(r, name)
		}
	}
	merged, replaced := make([]O, 0, len(cached)), map[types.NamespacedName]bool{}
	for _, object := range cached {
		name := types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
		if newer, found := r[name]; found {
			object, replaced[name] = newer, true
		}
		merged = append(merged, object)
	}
	for name, object := range r {
		if !replaced[name] {
			merged = append(merged, object)
		}
	}
	return merged
}
