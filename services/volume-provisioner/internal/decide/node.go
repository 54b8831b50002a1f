package decide

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/placement"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// NodeState is what the work of the agent on one node depends on.
type NodeState struct {
	Agent *storagev1alpha1.LocalVolumeNode
	// Node is nil if it was deleted.
	Node *corev1.Node
	// Sets are the sets with volumes on the node, and Selecting those that can have some: all sets are correct for both.
	Sets, Selecting []*storagev1alpha1.KafkaLocalVolumeSet
	// BasePaths are those of StorageClasses for claims that no set describes.
	BasePaths []string
	// Wipes are all VolumeWipes.
	Wipes    []*storagev1alpha1.VolumeWipe
	Settings spec.Settings
	// HasVolume reports whether a PersistentVolume on this node, or a PersistentVolume made by hand, exists for the volume
	// with this namespace and claim.
	HasVolume func(namespace, claim string) bool

	// reported are the directories in the status of the agent, by id.
	reported map[string]*storagev1alpha1.DirectoryStatus
}

// Node returns the desired spec of a LocalVolumeNode. A directory stays in the spec when its set is deleted: its data
// still takes space, and a set that is created again finds it there.
func Node(s *NodeState) storagev1alpha1.LocalVolumeNodeSpec {
	name := s.Agent.Name
	directories := map[string]storagev1alpha1.DirectorySpec{}
	s.reported = map[string]*storagev1alpha1.DirectoryStatus{}
	for i := range s.Agent.Status.Directories {
		s.reported[s.Agent.Status.Directories[i].ID] = &s.Agent.Status.Directories[i]
	}
	for _, d := range s.Agent.Spec.Directories {
		directories[d.ID] = settled(s, d)
	}
	bases := map[string]bool{}
	for _, base := range s.BasePaths {
		bases[base] = true
	}
	// marked has the ids of volumes whose set records that their directory exists.
	marked := map[string]bool{}
	for _, set := range s.Selecting {
		if s.Node != nil && !bases[set.Spec.BasePath] && s.Settings.Allowed(set.Spec.BasePath) &&
			placement.Selects(&set.Spec, s.Node) {
			bases[set.Spec.BasePath] = true
		}
	}
	for _, set := range s.Sets {
		if !s.Settings.Allowed(set.Spec.BasePath) {
			continue
		}
		for i := range set.Status.Volumes {
			if v := &set.Status.Volumes[i]; v.Node == name {
				id := spec.ID(set.Namespace, v.Claim)
				old, known := directories[id]
				directories[id] = directory(s, set, v, old, known)
				marked[id] = marked[id] || v.Marker != "" && set.DeletionTimestamp == nil
			}
		}
	}
	var want storagev1alpha1.LocalVolumeNodeSpec
	for _, w := range s.Wipes {
		if w.Status.Node != name || !deletes(w.Status.State) {
			continue
		}
		for id, d := range directories {
			if spec.Join(d.BasePath, d.Path) != w.Spec.Path {
				continue
			}
			if w.Status.State == storagev1alpha1.WipeMoved {
				// The renamed directory does not stand in the way of a new one.
				continue
			}
			if w.Status.State == storagev1alpha1.WipeAccepted &&
				(marked[id] || s.HasVolume != nil && s.HasVolume(spec.Split(id))) {
				// The set first records that the directory may be created again, and the PersistentVolume is deleted first.
				continue
			}
			delete(directories, id)
		}
		base, path, marker, ok := target(s, w)
		if ok && (w.Status.State != storagev1alpha1.WipeAccepted || !marked[marker]) {
			want.Wipes = append(want.Wipes, storagev1alpha1.WipeSpec{
				ID: w.UID, BasePath: base, Path: path, Marker: marker, KeepFor: w.Spec.KeepFor,
			})
		}
	}
	for _, d := range directories {
		bases[d.BasePath] = true
		want.Directories = append(want.Directories, d)
	}
	for base := range bases {
		want.BasePaths = append(want.BasePaths, base)
	}
	slices.Sort(want.BasePaths)
	slices.SortFunc(want.Directories, func(a, b storagev1alpha1.DirectorySpec) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(want.Wipes, func(a, b storagev1alpha1.WipeSpec) int { return cmp.Compare(a.ID, b.ID) })
	return want
}

func directory(
	s *NodeState, set *storagev1alpha1.KafkaLocalVolumeSet, v *storagev1alpha1.LocalVolumeStatus,
	old storagev1alpha1.DirectorySpec, known bool,
) storagev1alpha1.DirectorySpec {
	id := spec.ID(set.Namespace, v.Claim)
	d := storagev1alpha1.DirectorySpec{
		ID: id, BasePath: set.Spec.BasePath, Path: spec.RelativePath(set.Spec.PathPattern, set.Namespace, v.Claim),
		SetName: set.Name, SetUID: set.UID, Ordinal: v.Ordinal,
		Adopt: set.Spec.AdoptExisting == storagev1alpha1.AdoptUnmarked,
		Bytes: v.Bytes, Quota: set.Spec.Quota,
		MachineID: old.MachineID, FileSystem: old.FileSystem,
	}
	// A directory that has existed is never replaced by an empty one.
	d.Create = v.Marker == "" && (!known || old.Create)
	if d.Create && !known && s.HasVolume != nil && s.HasVolume(set.Namespace, v.Claim) {
		d.Create = false
	}
	if o := set.Spec.Owner; o != nil {
		d.Mode = o.Mode
		if o.UID != nil {
			d.UID = *o.UID
		}
		if o.FSGroup != nil {
			d.GID = *o.FSGroup
		}
	}
	return settled(s, d)
}

// settled records where a directory exists. It is not created again.
func settled(s *NodeState, d storagev1alpha1.DirectorySpec) storagev1alpha1.DirectorySpec {
	seen := s.reported[d.ID]
	switch {
	case seen == nil:
	case seen.State == storagev1alpha1.DirectoryMissing:
		d.Create = false
	case seen.State == storagev1alpha1.DirectoryReady && seen.Marker != nil && seen.Marker.ID == d.ID:
		d.Create = false
		d.MachineID = cmp.Or(d.MachineID, s.Agent.Status.MachineID)
		d.FileSystem = cmp.Or(d.FileSystem, seen.FileSystem)
	}
	return d
}

// Urgent reports whether an agent has to act on the difference between two versions of its work. That a directory
// exists, and where, is only recorded for later.
func Urgent(before, after storagev1alpha1.LocalVolumeNodeSpec) bool {
	if len(before.Directories) != len(after.Directories) || !slices.Equal(before.BasePaths, after.BasePaths) ||
		!slices.Equal(before.Wipes, after.Wipes) {
		return true
	}
	for i, d := range before.Directories {
		settled := after.Directories[i]
		if d.MachineID == "" {
			d.MachineID = settled.MachineID
		}
		if d.FileSystem == "" {
			d.FileSystem = settled.FileSystem
		}
		d.Create = d.Create && settled.Create
		if d != settled {
			return true
		}
	}
	return false
}

// OnNode reports whether a PersistentVolume is on a node, as far as its annotation tells.
func OnNode(pv *corev1.PersistentVolume, node string) bool {
	recorded := pv.Annotations[storagev1alpha1.AnnotationNode]
	return recorded == "" || recorded == node
}
