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
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
)

// reservations is held while a volume is placed or a size is reserved. Two sets never reserve the same bytes: each
// reservation sees all earlier ones, also those that are being written and those that the caches have not observed yet.
type reservations struct {
	sync.Mutex
	// started is set after the sets and agents were read from the API server: another leader may have written objects that
	// the caches have not observed yet. It is reset after a write with an unknown result.
	started bool
	// sets and agents are the objects that the caches may not have observed yet.
	sets   recent[*storagev1alpha1.KafkaLocalVolumeSet]
	agents recent[*storagev1alpha1.LocalVolumeNode]
	// writing are the sets whose placement is being written. They are written at the same time.
	writing map[controller.Key]*storagev1alpha1.KafkaLocalVolumeSet
	// written is the time of the last write of a placement.
	written time.Time
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

// allSets returns all sets, from the cache and from what it has not observed yet.
func (r *reservations) allSets(c *caches) []*storagev1alpha1.KafkaLocalVolumeSet {
	return r.sets.merge(cacheutil.List[*storagev1alpha1.KafkaLocalVolumeSet](c.sets), c.sets.GetStore())
}

// allAgents returns all agents, from the cache and from what it has not observed yet.
func (r *reservations) allAgents(c *caches) map[string]*storagev1alpha1.LocalVolumeNode {
	return byName(r.agents.merge(c.allAgents(), c.agents.GetStore()))
}

// reserving returns the sets with the placements that are being written.
func (r *reservations) reserving(sets []*storagev1alpha1.KafkaLocalVolumeSet) []*storagev1alpha1.KafkaLocalVolumeSet {
	current := make([]*storagev1alpha1.KafkaLocalVolumeSet, len(sets))
	for i, set := range sets {
		if placed := r.writing[controller.Key{Namespace: set.Namespace, Name: set.Name}]; placed != nil {
			set = placed
		}
		current[i] = set
	}
	return current
}

// observe reads the state of a set from the caches and from what they have not observed yet. It returns nil if the set
// does not exist.
func (r *reservations) observe(c *caches, key controller.Key, now time.Time) *observed.State {
	s := &observed.State{Now: now}
	sets := r.reserving(r.allSets(c))
	for _, set := range sets {
		if set.Namespace == key.Namespace && set.Name == key.Name {
			s.Set = set
		}
	}
	if s.Set == nil || s.Set.DeletionTimestamp != nil {
		return nil
	}
	r.complete(c, s, sets)
	return s
}

// complete reads everything that a decision about the state's set depends on, from the caches and from what they have
// not observed yet. sets are all sets.
func (r *reservations) complete(c *caches, s *observed.State, sets []*storagev1alpha1.KafkaLocalVolumeSet) {
	s.Agents = r.allAgents(c)
	s.Reserved = c.reserved.of(sets, s.Agents)
	c.observeObjects(s)
	for name := range r.agents {
		if agent := s.Agents[name.Name]; agent != nil {
			s.Holders[name.Name] = agent
		}
	}
	// The others are those that the indexes know, and those that the indexes have not observed yet.
	indexed := c.colliding(s.Set)
	for _, other := range sets {
		key := controller.Key{Namespace: other.Namespace, Name: other.Name}
		known := indexed[key] != nil || r.writing[key] != nil || r.sets[types.NamespacedName(key)] != nil
		if known && other != s.Set {
			s.Others = append(s.Others, other)
		}
	}
	sortSets(s.Others)
}

// sum adds up reservations. It keeps what it has added, so that the next sum costs little.
type sum struct {
	mu           sync.Mutex
	reservations observed.Reservations
}

func (s *sum) of(
	sets []*storagev1alpha1.KafkaLocalVolumeSet, agents map[string]*storagev1alpha1.LocalVolumeNode,
) observed.Reserved {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reservations.Update(sets, agents)
	return s.reservations.Total()
}

// prune forgets the objects that the caches have observed.
func (r *reservations) prune(c *caches) {
	r.Lock()
	defer r.Unlock()
	r.sets.prune(c.sets.GetStore())
	r.agents.prune(c.agents.GetStore())
}

// begin records a placement that is about to be written.
func (r *reservations) begin(
	set *storagev1alpha1.KafkaLocalVolumeSet, status storagev1alpha1.KafkaLocalVolumeSetStatus,
) {
	placed := *set
	placed.Status = status
	if r.writing == nil {
		r.writing = map[controller.Key]*storagev1alpha1.KafkaLocalVolumeSet{}
	}
	r.writing[controller.Key{Namespace: set.Namespace, Name: set.Name}] = &placed
}

// busy reports whether placements are being written, or were written within a duration. More directories follow soon.
func (r *reservations) busy(now time.Time, within time.Duration) bool {
	r.Lock()
	defer r.Unlock()
	since := now.Sub(r.written)
	return len(r.writing) > 0 || since >= 0 && since < within
}

// end records the result of a write: the set as the API server returned it, or nil if it was not written.
func (r *reservations) end(
	key controller.Key, written *storagev1alpha1.KafkaLocalVolumeSet, err error, now time.Time,
) {
	r.Lock()
	defer r.Unlock()
	r.written = now
	delete(r.writing, key)
	if err != nil {
		// The status may have been written. The next reservation reads it.
		r.started = false
	}
	if written != nil {
		r.sets.add(written)
	}
}

// recent has objects as the API server returned them.
type recent[O metav1.Object] map[types.NamespacedName]O

// add adds an object unless a newer version of it is known.
func (r recent[O]) add(object O) {
	name := types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
	if known, found := r[name]; found {
		order, err := resourceversion.CompareResourceVersion(known.GetResourceVersion(), object.GetResourceVersion())
		if err == nil && order > 0 {
			return
		}
	}
	r[name] = object
}

// merge returns the objects of a cache, with the recent ones that it has not observed yet in place of older ones. It
// forgets the others.
func (r recent[O]) merge(cached []O, store cache.Store) []O {
	r.prune(store)
	if len(r) == 0 {
		return cached
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

// prune forgets the objects that a cache has observed, or newer ones.
func (r recent[O]) prune(store cache.Store) {
	if len(r) == 0 {
		return
	}
	seen := store.LastStoreSyncResourceVersion()
	for name, object := range r {
		// Versions of an aggregated API server may not be comparable.
		order, err := resourceversion.CompareResourceVersion(seen, object.GetResourceVersion())
		if err != nil || order >= 0 {
			delete(r, name)
		}
	}
}
