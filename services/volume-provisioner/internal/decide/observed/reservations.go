package observed

import (
	"maps"
	"weak"

	"k8s.io/apimachinery/pkg/types"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// BasePath is a base path on a node.
type BasePath struct{ Node, Path string }

// Reserved has the reserved bytes of each base path: the sizes of the volumes of all sets, and of directories whose set
// was deleted.
type Reserved map[BasePath]int64

// Reservations adds up the reserved bytes. An update costs only as much as the objects that have changed.
type Reservations struct {
	sets    map[types.NamespacedName]*counted[storagev1alpha1.KafkaLocalVolumeSet]
	agents  map[string]*counted[storagev1alpha1.LocalVolumeNode]
	total   Reserved
	updates int
	// volumes are all volumes that have a size on a node.
	volumes map[volumeOnNode]*reservation
}

// counted is an object whose sizes are in the total.
type counted[T any] struct {
	// object does not keep the object in memory.
	object weak.Pointer[T]
	sizes  []size
	// update is the number of the last update that the object was part of.
	update int
}

// size is the size of a volume in an object.
type size struct {
	volume volumeOnNode
	path   string
	bytes  int64
}

type volumeOnNode struct{ node, id string }

// reservation is the size of a volume on a node. That of a set counts before that of the agent's work, which follows
// it.
type reservation struct {
	sets int
	// path and bytes are those of the agent's work. The path is empty if there is none.
	path  string
	bytes int64
}

// Update replaces the objects. Those that have changed must be other ones in memory: objects are not modified.
func (r *Reservations) Update(
	sets []*storagev1alpha1.KafkaLocalVolumeSet, agents map[string]*storagev1alpha1.LocalVolumeNode,
) {
	if r.total == nil {
		r.sets = map[types.NamespacedName]*counted[storagev1alpha1.KafkaLocalVolumeSet]{}
		r.agents = map[string]*counted[storagev1alpha1.LocalVolumeNode]{}
		r.volumes, r.total = map[volumeOnNode]*reservation{}, Reserved{}
	}
	r.updates++
	for _, set := range sets {
		update(r.sets, types.NamespacedName{Namespace: set.Namespace, Name: set.Name}, set, r.updates, sizesOfSet, r.set)
	}
	for name, agent := range agents {
		update(r.agents, name, agent, r.updates, sizesOfAgent, r.agent)
	}
	remove(r.sets, len(sets), r.updates, r.set)
	remove(r.agents, len(agents), r.updates, r.agent)
}

// Total returns the reserved bytes.
func (r *Reservations) Total() Reserved { return maps.Clone(r.total) }

// update counts an object instead of its previous version.
func update[K comparable, T any](
	known map[K]*counted[T], key K, object *T, number int, sizes func(*T) []size, count func([]size, int),
) {
	entry := known[key]
	if entry == nil {
		entry = &counted[T]{}
		known[key] = entry
	}
	entry.update = number
	if entry.object.Value() == object {
		return
	}
	count(entry.sizes, -1)
	entry.object, entry.sizes = weak.Make(object), sizes(object)
	count(entry.sizes, 1)
}

// remove removes the objects that were not part of an update of n objects.
func remove[K comparable, T any](known map[K]*counted[T], n, number int, count func([]size, int)) {
	if len(known) == n {
		return
	}
	for key, entry := range known {
		if entry.update != number {
			count(entry.sizes, -1)
			delete(known, key)
		}
	}
}

func sizesOfSet(set *storagev1alpha1.KafkaLocalVolumeSet) []size {
	sizes := make([]size, 0, len(set.Status.Volumes))
	for i := range set.Status.Volumes {
		if v := &set.Status.Volumes[i]; v.Node != "" {
			sizes = append(sizes, size{volumeOnNode{v.Node, spec.ID(set.Namespace, v.Claim)}, set.Spec.BasePath, v.Bytes})
		}
	}
	return sizes
}

func sizesOfAgent(agent *storagev1alpha1.LocalVolumeNode) []size {
	sizes := make([]size, 0, len(agent.Spec.Directories))
	for i := range agent.Spec.Directories {
		d := &agent.Spec.Directories[i]
		sizes = append(sizes, size{volumeOnNode{agent.Name, d.ID}, d.BasePath, d.Bytes})
	}
	return sizes
}

// set adds the volumes of a set, or removes them if sign is -1.
func (r *Reservations) set(sizes []size, sign int) {
	for _, s := range sizes {
		r.add(s.volume.node, s.path, int64(sign)*s.bytes)
		r.change(s.volume, func(entry *reservation) { entry.sets += sign })
	}
}

// agent adds the work of an agent, or removes it if sign is -1.
func (r *Reservations) agent(sizes []size, sign int) {
	for _, s := range sizes {
		r.change(s.volume, func(entry *reservation) {
			if entry.path, entry.bytes = s.path, s.bytes; sign < 0 {
				entry.path, entry.bytes = "", 0
			}
		})
	}
}

// change changes a reservation, and what the agent's work adds to the total.
func (r *Reservations) change(volume volumeOnNode, change func(*reservation)) {
	entry := r.volumes[volume]
	if entry == nil {
		entry = &reservation{}
		r.volumes[volume] = entry
	}
	count := func(sign int64) {
		if entry.sets == 0 && entry.path != "" {
			r.add(volume.node, entry.path, sign*entry.bytes)
		}
	}
	count(-1)
	change(entry)
	count(1)
	if *entry == (reservation{}) {
		delete(r.volumes, volume)
	}
}

func (r *Reservations) add(node, path string, bytes int64) {
	base := BasePath{node, path}
	if r.total[base] += bytes; r.total[base] == 0 {
		delete(r.total, base)
	}
}
