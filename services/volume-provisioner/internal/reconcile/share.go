package reconcile

import (
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/cacheutil"
)

// maxShared is the number of values after which a sharer starts again, so that values of deleted objects do not stay in
// memory. Objects that share values keep them.
const maxShared = 20_000

// sharer lets cached objects share equal values: most strings and lists of a PersistentVolume are the same in many
// others. Cached objects are not modified.
type sharer struct {
	strings cacheutil.Strings

	mu         sync.Mutex
	labels     map[string]map[string]string
	sizes      map[string]corev1.ResourceList
	affinities map[string]*corev1.VolumeNodeAffinity
}

// begin locks the sharer for one object.
func (s *sharer) begin() {
	s.mu.Lock()
	if s.labels == nil || len(s.labels)+len(s.sizes)+len(s.affinities) > maxShared {
		s.labels = map[string]map[string]string{}
		s.sizes = map[string]corev1.ResourceList{}
		s.affinities = map[string]*corev1.VolumeNodeAffinity{}
	}
}

func (s *sharer) end() { s.mu.Unlock() }

// share replaces values by shared ones.
func share[S ~string](s *sharer, values ...*S) { cacheutil.Share(&s.strings, values...) }

// volume shares the values of a PersistentVolume.
func (s *sharer) volume(pv *corev1.PersistentVolume) {
	s.begin()
	defer s.end()
	pv.Labels = s.sharedLabels(pv.Labels)
	pv.Annotations = s.annotations(pv.Annotations)
	for i := range pv.Finalizers {
		share(s, &pv.Finalizers[i])
	}
	v := &pv.Spec
	v.Capacity = s.size(v.Capacity)
	v.NodeAffinity = s.affinity(v.NodeAffinity)
	for i := range v.AccessModes {
		share(s, &v.AccessModes[i])
	}
	share(s, &v.PersistentVolumeReclaimPolicy)
	share(s, &v.StorageClassName)
	if v.VolumeMode != nil {
		share(s, v.VolumeMode)
	}
	if ref := v.ClaimRef; ref != nil {
		share(s, &ref.Kind, &ref.APIVersion, &ref.Namespace)
		if ref.Name == pv.Name {
			ref.Name = pv.Name
		}
	}
	share(s, &pv.Status.Phase)
}

// claim shares the values of a PersistentVolumeClaim.
func (s *sharer) claim(claim *corev1.PersistentVolumeClaim) {
	s.begin()
	defer s.end()
	share(s, &claim.Namespace)
	claim.Labels = s.sharedLabels(claim.Labels)
	claim.Annotations = s.annotations(claim.Annotations)
	for i := range claim.Finalizers {
		share(s, &claim.Finalizers[i])
	}
	v, status := &claim.Spec, &claim.Status
	v.Resources.Requests = s.size(v.Resources.Requests)
	status.Capacity = s.size(status.Capacity)
	for _, modes := range [][]corev1.PersistentVolumeAccessMode{v.AccessModes, status.AccessModes} {
		for i := range modes {
			share(s, &modes[i])
		}
	}
	if v.StorageClassName != nil {
		share(s, v.StorageClassName)
	}
	if v.VolumeMode != nil {
		share(s, v.VolumeMode)
	}
	if v.VolumeName == claim.Name {
		v.VolumeName = claim.Name
	}
	share(s, &status.Phase)
}

// set shares the values of a KafkaLocalVolumeSet.
func (s *sharer) set(set *storagev1alpha1.KafkaLocalVolumeSet) {
	s.begin()
	defer s.end()
	clip(&set.Status.Volumes)
	clip(&set.Status.Conditions)
	for i := range set.Status.Volumes {
		v := &set.Status.Volumes[i]
		share(s, &v.Template, &v.Node)
		share(s, &v.NodeUID)
		share(s, &v.Phase)
		if v.PV == v.Claim {
			v.PV = v.Claim
		}
	}
	for i := range set.Status.Conditions {
		c := &set.Status.Conditions[i]
		share(s, &c.Type, &c.Reason, &c.Message)
		share(s, &c.Status)
	}
}

// agent shares the values of a LocalVolumeNode.
func (s *sharer) agent(agent *storagev1alpha1.LocalVolumeNode) {
	s.begin()
	defer s.end()
	clip(&agent.Spec.Directories)
	clip(&agent.Status.Directories)
	clip(&agent.Status.Found)
	ids := make(map[string]string, len(agent.Spec.Directories))
	for i := range agent.Spec.Directories {
		d := &agent.Spec.Directories[i]
		ids[d.ID] = d.ID
		share(s, &d.BasePath, &d.SetName, &d.MachineID, &d.FileSystem, &d.Mode)
		share(s, &d.SetUID)
		share(s, &d.Quota)
		// The path is often the claim, or the namespace and the claim.
		if strings.HasSuffix(d.ID, d.Path) {
			d.Path = d.ID[len(d.ID)-len(d.Path):]
		}
	}
	for i := range agent.Status.Directories {
		d := &agent.Status.Directories[i]
		if known, found := ids[d.ID]; found {
			d.ID = known
		}
		share(s, &d.State)
		share(s, &d.FileSystem)
		if m := d.Marker; m != nil {
			if m.ID == d.ID {
				m.ID = d.ID
			}
			share(s, &m.SetName, &m.MachineID, &m.FileSystem)
			share(s, &m.SetUID)
		}
	}
}

// clip replaces a list by one without room for more entries: a decoder makes up to twice as much room as it needs.
func clip[E any](list *[]E) {
	if cap(*list) > len(*list) {
		*list = slices.Clone(*list)
	}
}

// sharedLabels returns the shared copy of labels. Those of a set's volumes are equal.
func (s *sharer) sharedLabels(labels map[string]string) map[string]string {
	if len(labels) == 0 {
		return nil
	}
	key := join(labels)
	known, found := s.labels[key]
	if !found {
		known = s.annotations(labels)
		s.labels[key] = known
	}
	return known
}

// annotations returns a copy of annotations with shared keys and values.
func (s *sharer) annotations(annotations map[string]string) map[string]string {
	if len(annotations) == 0 {
		return nil
	}
	shared := make(map[string]string, len(annotations))
	for key, value := range annotations {
		share(s, &key)
		// Each object has another one.
		if key != storagev1alpha1.AnnotationVolume {
			share(s, &value)
		}
		shared[key] = value
	}
	return shared
}

// join returns a text that is equal for equal labels only: labels have no control characters.
func join(labels map[string]string) string {
	parts := make([]string, 0, len(labels))
	for key, value := range labels {
		parts = append(parts, key+"\x00"+value)
	}
	slices.Sort(parts)
	return strings.Join(parts, "\x01")
}

// size returns the shared copy of a list that has only a storage size.
func (s *sharer) size(list corev1.ResourceList) corev1.ResourceList {
	quantity, found := list[corev1.ResourceStorage]
	if !found || len(list) != 1 {
		return list
	}
	text := quantity.String()
	known, found := s.sizes[text]
	if !found {
		known = list
		s.sizes[text] = known
	}
	return known
}

// affinity returns the shared copy of the node affinity of a local volume: one label with one value.
func (s *sharer) affinity(affinity *corev1.VolumeNodeAffinity) *corev1.VolumeNodeAffinity {
	if affinity == nil || affinity.Required == nil || len(affinity.Required.NodeSelectorTerms) != 1 {
		return affinity
	}
	term := affinity.Required.NodeSelectorTerms[0]
	if len(term.MatchFields) != 0 || len(term.MatchExpressions) != 1 || len(term.MatchExpressions[0].Values) != 1 {
		return affinity
	}
	e := term.MatchExpressions[0]
	key := join(map[string]string{e.Key: string(e.Operator) + " " + e.Values[0]})
	known, found := s.affinities[key]
	if !found {
		known = affinity
		s.affinities[key] = known
	}
	return known
}
