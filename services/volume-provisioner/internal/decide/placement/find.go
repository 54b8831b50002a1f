package placement

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/weir-dev/weir/apis/contract"
	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// Origin is where an existing volume was found.
type Origin struct {
	Node string
	// Existed is true if the directory has existed with a marker.
	Existed bool
}

// Find returns the node that already has the volume: according to its PersistentVolume, to the work of an agent, or to
// a marker that an agent has found. It returns an empty node if the volume is new.
func Find(s *observed.State, v spec.Volume) (Origin, *Problem) {
	id := v.ID()
	for _, pv := range s.VolumesByClaim[v.Claim] {
		if pv.Spec.Local == nil || pv.Spec.Local.Path != v.Directory() {
			continue
		}
		if owner := pv.Annotations[storagev1alpha1.AnnotationSet]; owner != s.Set.Name &&
			pv.Labels[contract.LabelManagedBy] == spec.Manager {
			return Origin{}, &Problem{storagev1alpha1.ReasonVolumeConflict, fmt.Sprintf(
				"PersistentVolume %s belongs to %s; use the name of that set, or delete the PersistentVolume", pv.Name,
				spec.Owner(owner))}
		}
		if node := nodeOf(s, pv); node != "" {
			return Origin{Node: node, Existed: pv.Annotations[storagev1alpha1.AnnotationVolume] == id}, nil
		}
	}
	var found []string
	existed := false
	for name, agent := range s.Holders {
		if other := foreign(agent, s.Set.Name, v); other != nil {
			return Origin{}, &Problem{storagev1alpha1.ReasonDirectoryConflict, fmt.Sprintf(
				"directory %s on node %s belongs to the volume %s of %s; use another name or path, or "+
					"delete the data with a VolumeWipe", spec.Join(other.BasePath, other.Path), name, other.ID,
				spec.Owner(other.SetName))}
		}
		if d := observed.Requested(agent, id); d != nil && d.SetName == s.Set.Name && d.BasePath == v.BasePath {
			found = append(found, name)
			existed = existed || !d.Create
		}
	}
	if len(found) == 0 {
		for name, agent := range s.Holders {
			if s.Nodes[name] != nil && marked(agent, s.Set.Name, v) {
				found = append(found, name)
				existed = true
			}
		}
	}
	slices.Sort(found)
	switch len(found) {
	case 0:
		return Origin{}, nil
	case 1:
		return Origin{found[0], existed}, nil
	}
	return Origin{}, &Problem{storagev1alpha1.ReasonDirectoryConflict, fmt.Sprintf(
		"directory %s of claim %s exists on nodes %s; keep one and remove the file .volume-id in the others",
		v.Directory(), v.Claim, strings.Join(found, ", "))}
}

// foreign returns a directory of a node that has the id of a volume and belongs to another set, or that is the
// directory of the volume, contains it or is in it, and belongs to another volume. Its set may have been deleted.
func foreign(agent *storagev1alpha1.LocalVolumeNode, setName string, v spec.Volume) *storagev1alpha1.DirectorySpec {
	id := v.ID()
	for i := range agent.Spec.Directories {
		d := &agent.Spec.Directories[i]
		samePath := d.Path == v.Path && d.BasePath == v.BasePath
		if sameID := d.ID == id; sameID && (d.SetName != setName || !samePath) || !sameID && collide(d, v) {
			return d
		}
	}
	return nil
}

// collide reports whether a directory is the directory of a volume, contains it or is in it.
func collide(d *storagev1alpha1.DirectorySpec, v spec.Volume) bool {
	nested := func(a, b string) bool { return spec.Within(a, b) || spec.Within(b, a) }
	switch {
	case d.BasePath == v.BasePath:
		return nested(d.Path, v.Path)
	case !nested(d.BasePath, v.BasePath):
		return false
	}
	return nested(spec.Join(d.BasePath, d.Path), v.Directory())
}

func marked(agent *storagev1alpha1.LocalVolumeNode, setName string, v spec.Volume) bool {
	id := v.ID()
	return slices.ContainsFunc(agent.Status.Found, func(f storagev1alpha1.FoundDirectory) bool {
		return f.Path == v.Path && f.BasePath == v.BasePath && f.Marker.ID == id && f.Marker.SetName == setName
	})
}

// nodeOf returns the node of a PersistentVolume, by its annotation or its node affinity.
func nodeOf(s *observed.State, pv *corev1.PersistentVolume) string {
	if node := pv.Annotations[storagev1alpha1.AnnotationNode]; node != "" {
		return node
	}
	if pv.Spec.NodeAffinity == nil || pv.Spec.NodeAffinity.Required == nil {
		return ""
	}
	for _, term := range pv.Spec.NodeAffinity.Required.NodeSelectorTerms {
		for _, e := range term.MatchExpressions {
			for name, node := range s.Nodes {
				if e.Operator == corev1.NodeSelectorOpIn && len(e.Values) == 1 && node.Labels[e.Key] == e.Values[0] {
					return name
				}
			}
		}
	}
	return ""
}

// Renamed returns the node that has the volume now, if the recorded node does not exist and exactly one other node has
// a directory with its marker on the file system that the marker names.
func Renamed(s *observed.State, v spec.Volume) string {
	var found []string
	for name, agent := range s.Holders {
		if s.Nodes[name] == nil {
			continue
		}
		for _, f := range agent.Status.Found {
			if f.BasePath == v.BasePath && f.Path == v.Path && f.Marker.ID == v.ID() &&
				f.Marker.SetName == s.Set.Name && f.Marker.MachineID == agent.Status.MachineID &&
				f.Marker.FileSystem == f.FileSystem {
				found = append(found, name)
			}
		}
	}
	if len(found) == 1 {
		return found[0]
	}
	return ""
}
