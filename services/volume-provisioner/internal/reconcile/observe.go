package reconcile

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/placement"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/volumes"
)

// set returns a set, or nil if it does not exist.
func (c *caches) set(key controller.Key) *storagev1alpha1.KafkaLocalVolumeSet {
	set, found := cacheutil.Lookup[*storagev1alpha1.KafkaLocalVolumeSet](c.sets, key.Namespace, key.Name)
	if !found || set.DeletionTimestamp != nil {
		return nil
	}
	return set
}

// placed reports whether all volumes of a set have a node that exists. Their decisions depend on few other sets.
func (c *caches) placed(set *storagev1alpha1.KafkaLocalVolumeSet) bool {
	return placement.Placed(set, func(node string) bool {
		_, exists := cacheutil.Lookup[*corev1.Node](c.nodes, "", node)
		return exists
	})
}

// observePlaced reads the state of a set whose volumes all have a node.
func (c *caches) observePlaced(set *storagev1alpha1.KafkaLocalVolumeSet, now time.Time) *observed.State {
	s := &observed.State{Set: set, Now: now}
	c.observeCached(s)
	return s
}

// observeCached reads everything that a decision about the state's set depends on from the caches.
func (c *caches) observeCached(s *observed.State) {
	s.Agents = byName(c.allAgents())
	for _, other := range c.colliding(s.Set) {
		s.Others = append(s.Others, other)
	}
	sortSets(s.Others)
	s.Reserved = c.reserved.of(cacheutil.List[*storagev1alpha1.KafkaLocalVolumeSet](c.sets), s.Agents)
	c.observeObjects(s)
}

// colliding returns the other sets that have a claim of a set, or a directory that is one of the set, contains one, or
// is in one.
func (c *caches) colliding(
	set *storagev1alpha1.KafkaLocalVolumeSet,
) map[controller.Key]*storagev1alpha1.KafkaLocalVolumeSet {
	found := map[controller.Key]*storagev1alpha1.KafkaLocalVolumeSet{}
	add := func(index, namespace, name string) {
		for _, other := range cacheutil.ByIndex[*storagev1alpha1.KafkaLocalVolumeSet](c.sets, index, namespace, name) {
			found[controller.Key{Namespace: other.Namespace, Name: other.Name}] = other
		}
	}
	above := map[string]bool{}
	for _, v := range spec.Volumes(set) {
		directory := v.Directory()
		add(byClaim, v.Namespace, v.Claim)
		add(byDirectory, "", directory)
		add(byParent, "", directory)
		for _, parent := range parents(directory) {
			if !above[parent] {
				above[parent] = true
				add(byDirectory, "", parent)
			}
		}
	}
	delete(found, controller.Key{Namespace: set.Namespace, Name: set.Name})
	return found
}

// holders returns the agents that can have a volume of a set, or a directory that is one of the set, contains one, or
// is in one.
func (c *caches) holders(
	set *storagev1alpha1.KafkaLocalVolumeSet, agents map[string]*storagev1alpha1.LocalVolumeNode,
) map[string]*storagev1alpha1.LocalVolumeNode {
	found := map[string]*storagev1alpha1.LocalVolumeNode{}
	add := func(index, value string) {
		for _, agent := range cacheutil.ByIndex[*storagev1alpha1.LocalVolumeNode](c.agents, index, "", value) {
			if current := agents[agent.Name]; current != nil {
				found[agent.Name] = current
			}
		}
	}
	above := map[string]bool{}
	for _, v := range spec.Volumes(set) {
		directory := v.Directory()
		add(byID, v.ID())
		add(byDirectory, directory)
		add(byParent, directory)
		for _, parent := range parents(directory) {
			if !above[parent] {
				above[parent] = true
				add(byDirectory, parent)
			}
		}
	}
	return found
}

// observeObjects reads agents with volumes, nodes, PersistentVolumes, claims and pods of the state's set.
func (c *caches) observeObjects(s *observed.State) {
	set := s.Set
	s.Settings, s.Holders = c.settings, c.holders(set, s.Agents)
	s.Nodes = byName(cacheutil.List[*corev1.Node](c.nodes))
	s.VolumesByName = map[string]*corev1.PersistentVolume{}
	s.VolumesByClaim = map[string][]*corev1.PersistentVolume{}
	s.Claims = map[string]*corev1.PersistentVolumeClaim{}
	s.Pods = map[string][]*corev1.Pod{}
	for _, v := range spec.Volumes(set) {
		for _, name := range volumes.Names(v) {
			if pv, found := cacheutil.Lookup[*corev1.PersistentVolume](c.volumes, "", name); found {
				s.VolumesByName[name] = pv
			}
		}
		if pvs := cacheutil.ByIndex[*corev1.PersistentVolume](c.volumes, byClaim, v.Namespace, v.Claim); len(pvs) > 0 {
			slices.SortFunc(pvs, func(a, b *corev1.PersistentVolume) int { return cmp.Compare(a.Name, b.Name) })
			s.VolumesByClaim[v.Claim] = pvs
		}
		if claim, found := cacheutil.Lookup[*corev1.PersistentVolumeClaim](c.claims, v.Namespace, v.Claim); found {
			s.Claims[v.Claim] = claim
		}
		if pods := cacheutil.ByIndex[*corev1.Pod](c.pods, byClaim, v.Namespace, v.Claim); len(pods) > 0 {
			s.Pods[v.Claim] = pods
		}
	}
	s.Wiping = decide.Wiping(cacheutil.List[*storagev1alpha1.VolumeWipe](c.wipes), s.Agents)
	class := cmp.Or(set.Spec.StorageClassName, "local-storage")
	if sc, found := cacheutil.Lookup[*storagev1.StorageClass](c.classes, "", class); found {
		s.Expandable = expandable(sc)
	}
}

// allSets returns all sets, in a stable order.
func (c *caches) allSets() []*storagev1alpha1.KafkaLocalVolumeSet {
	sets := cacheutil.List[*storagev1alpha1.KafkaLocalVolumeSet](c.sets)
	sortSets(sets)
	return sets
}

func sortSets(sets []*storagev1alpha1.KafkaLocalVolumeSet) {
	slices.SortFunc(sets, func(a, b *storagev1alpha1.KafkaLocalVolumeSet) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

func (c *caches) allAgents() []*storagev1alpha1.LocalVolumeNode {
	return cacheutil.List[*storagev1alpha1.LocalVolumeNode](c.agents)
}

// nodeState returns what the work of an agent depends on.
func (c *caches) nodeState(agent *storagev1alpha1.LocalVolumeNode) *decide.NodeState {
	name := agent.Name
	s := &decide.NodeState{
		Agent: agent, Settings: c.settings, BasePaths: c.classBasePaths(),
		Sets:      cacheutil.ByIndex[*storagev1alpha1.KafkaLocalVolumeSet](c.sets, byNode, "", name),
		Selecting: cacheutil.List[*storagev1alpha1.KafkaLocalVolumeSet](c.sets),
		Wipes:     cacheutil.List[*storagev1alpha1.VolumeWipe](c.wipes),
		HasVolume: func(namespace, claim string) bool {
			return slices.ContainsFunc(cacheutil.ByIndex[*corev1.PersistentVolume](c.volumes, byClaim, namespace, claim),
				func(pv *corev1.PersistentVolume) bool { return decide.OnNode(pv, name) })
		},
	}
	sortSets(s.Sets)
	s.Node, _ = cacheutil.Lookup[*corev1.Node](c.nodes, "", name)
	return s
}

// binding reports whether the binder has not seen the PersistentVolumes of new directories of a node yet.
func (c *caches) binding(agent *storagev1alpha1.LocalVolumeNode) bool {
	for i := range agent.Spec.Directories {
		d := &agent.Spec.Directories[i]
		if !d.Create {
			continue
		}
		namespace, claim := spec.Split(d.ID)
		for _, pv := range cacheutil.ByIndex[*corev1.PersistentVolume](c.volumes, byClaim, namespace, claim) {
			if pv.Status.Phase == "" || pv.Status.Phase == corev1.VolumePending {
				return true
			}
		}
	}
	return false
}

// observeWipe reads the state of a VolumeWipe. It returns nil if the VolumeWipe does not exist.
func (c *caches) observeWipe(key controller.Key, now time.Time) *decide.WipeState {
	wipe, found := cacheutil.Lookup[*storagev1alpha1.VolumeWipe](c.wipes, key.Namespace, key.Name)
	if !found || wipe.DeletionTimestamp != nil {
		return nil
	}
	s := &decide.WipeState{Wipe: wipe, Now: metav1.NewTime(now.Truncate(time.Second))}
	node := wipe.Status.Node
	if pv, found := cacheutil.Lookup[*corev1.PersistentVolume](c.volumes, "", wipe.Spec.PV); found {
		s.Volume = pv
		node = cmp.Or(node, pv.Annotations[storagev1alpha1.AnnotationNode])
		if ref := pv.Spec.ClaimRef; ref != nil {
			s.Claim, _ = cacheutil.Lookup[*corev1.PersistentVolumeClaim](c.claims, ref.Namespace, ref.Name)
			s.Pods = cacheutil.ByIndex[*corev1.Pod](c.pods, byClaim, ref.Namespace, ref.Name)
		}
	}
	s.Agent, _ = cacheutil.Lookup[*storagev1alpha1.LocalVolumeNode](c.agents, "", node)
	return s
}

func byName[T metav1.Object](objects []T) map[string]T {
	named := make(map[string]T, len(objects))
	for _, object := range objects {
		named[object.GetName()] = object
	}
	return named
}
