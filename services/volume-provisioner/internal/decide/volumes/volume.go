// Package volumes builds the PersistentVolumes of a set and compares them with those that exist.
package volumes

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// Build returns the PersistentVolume of a volume on a node.
func Build(
	set *storagev1alpha1.KafkaLocalVolumeSet, v spec.Volume, name string, node *corev1.Node, bytes int64,
) *corev1.PersistentVolume {
	key := cmp.Or(set.Spec.NodeAffinityKey, corev1.LabelHostname)
	mode := cmp.Or(v.Template.VolumeMode, corev1.PersistentVolumeFilesystem)
	modes := v.Template.AccessModes
	if len(modes) == 0 {
		modes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	}
	return &corev1.PersistentVolume{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolume"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels(set), Annotations: map[string]string{
			storagev1alpha1.AnnotationVolume: v.ID(),
			storagev1alpha1.AnnotationSet:    set.Name,
			storagev1alpha1.AnnotationNode:   node.Name,
		}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: quantity(v, bytes)},
			AccessModes:                   modes,
			VolumeMode:                    &mode,
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			StorageClassName:              cmp.Or(set.Spec.StorageClassName, "local-storage"),
			MountOptions:                  set.Spec.MountOptions,
			ClaimRef:                      claimRef(v),
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				Local: &corev1.LocalVolumeSource{Path: v.Directory()},
			},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{node.Labels[key]},
				}}}},
			}},
		},
	}
}

// quantity keeps the notation of the template, if the sizes are equal.
func quantity(v spec.Volume, bytes int64) resource.Quantity {
	if v.Bytes() == bytes {
		return v.Template.Size
	}
	return *resource.NewQuantity(bytes, resource.BinarySI)
}

func labels(set *storagev1alpha1.KafkaLocalVolumeSet) map[string]string {
	l := map[string]string{
		contract.LabelLocalVolume: "true",
		contract.LabelName:        "local-volume",
		contract.LabelPartOf:      contract.PartOf,
		contract.LabelManagedBy:   spec.Manager,
	}
	if set.Name != "" && len(set.Name) <= 63 {
		l[contract.LabelInstance] = set.Name
	}
	return l
}

// claimRef names the claim without its uid, so that any claim of this name can bind.
func claimRef(v spec.Volume) *corev1.ObjectReference {
	return &corev1.ObjectReference{Namespace: v.Namespace, Name: v.Claim}
}

// Name returns the name for the PersistentVolume of a volume: that of the claim, or <namespace>-<claim> if another
// PersistentVolume has that name.
func Name(s *observed.State, v spec.Volume) (string, error) {
	for _, name := range Names(v) {
		pv := s.VolumesByName[name]
		if pv == nil || IsFor(pv, v) {
			return name, nil
		}
	}
	names := Names(v)
	return "", fmt.Errorf("PersistentVolumes %s and %s exist for other claims; delete or rename one of them",
		names[0], names[1])
}

// Names returns the names that the PersistentVolume of a volume can have.
func Names(v spec.Volume) []string { return []string{v.Claim, v.Namespace + "-" + v.Claim} }

// IsFor reports whether a PersistentVolume is for a volume, by its annotation or else by its claimRef.
func IsFor(pv *corev1.PersistentVolume, v spec.Volume) bool {
	if id := pv.Annotations[storagev1alpha1.AnnotationVolume]; id != "" && Managed(pv) {
		return id == v.ID()
	}
	ref := pv.Spec.ClaimRef
	return ref != nil && ref.Namespace == v.Namespace && ref.Name == v.Claim
}

// Managed reports whether volume-provisioner manages a PersistentVolume.
func Managed(pv *corev1.PersistentVolume) bool {
	return pv.Labels[contract.LabelManagedBy] == spec.Manager
}

// Find returns the PersistentVolume of a volume, or nil.
func Find(s *observed.State, v spec.Volume) *corev1.PersistentVolume {
	for _, name := range Names(v) {
		if pv := s.VolumesByName[name]; pv != nil && IsFor(pv, v) {
			return pv
		}
	}
	for _, pv := range s.VolumesByClaim[v.Claim] {
		if IsFor(pv, v) {
			return pv
		}
	}
	return nil
}

// Difference names the first immutable property in which a PersistentVolume differs from the one that the set
// describes.
func Difference(live, want *corev1.PersistentVolume) string {
	switch {
	case live.Spec.Local == nil:
		return "is not a local volume"
	case live.Spec.Local.Path != want.Spec.Local.Path:
		return fmt.Sprintf("has spec.local.path %s, expected %s", live.Spec.Local.Path, want.Spec.Local.Path)
	case !equality.Semantic.DeepEqual(live.Spec.NodeAffinity, want.Spec.NodeAffinity):
		return fmt.Sprintf("has node affinity %s, expected %s", affinity(live), affinity(want))
	case live.Spec.VolumeMode != nil && *live.Spec.VolumeMode != *want.Spec.VolumeMode:
		return fmt.Sprintf("has spec.volumeMode %s, expected %s", *live.Spec.VolumeMode, *want.Spec.VolumeMode)
	}
	return ""
}

func affinity(pv *corev1.PersistentVolume) string {
	if pv.Spec.NodeAffinity == nil || pv.Spec.NodeAffinity.Required == nil {
		return "none"
	}
	var parts []string
	for _, term := range pv.Spec.NodeAffinity.Required.NodeSelectorTerms {
		for _, e := range term.MatchExpressions {
			parts = append(parts, fmt.Sprintf("%s %s %v", e.Key, e.Operator, e.Values))
		}
	}
	return strings.Join(parts, ", ")
}

// Adoptable returns why a PersistentVolume that was made by hand cannot be adopted, empty if it can.
func Adoptable(live, want *corev1.PersistentVolume) string {
	if difference := Difference(live, want); difference != "" {
		return difference
	}
	has, needs := live.Spec.Capacity[corev1.ResourceStorage], want.Spec.Capacity[corev1.ResourceStorage]
	switch {
	case has.Cmp(needs) != 0:
		return fmt.Sprintf("has capacity %s, expected %s", has.String(), needs.String())
	case live.Spec.StorageClassName != want.Spec.StorageClassName:
		return fmt.Sprintf("has spec.storageClassName %q, expected %q", live.Spec.StorageClassName,
			want.Spec.StorageClassName)
	case !sameModes(live.Spec.AccessModes, want.Spec.AccessModes):
		return fmt.Sprintf("has spec.accessModes %v, expected %v", live.Spec.AccessModes, want.Spec.AccessModes)
	case !slices.Equal(live.Spec.MountOptions, want.Spec.MountOptions):
		return fmt.Sprintf("has spec.mountOptions %v, expected %v", live.Spec.MountOptions, want.Spec.MountOptions)
	case live.Spec.PersistentVolumeReclaimPolicy != want.Spec.PersistentVolumeReclaimPolicy:
		return fmt.Sprintf("has spec.persistentVolumeReclaimPolicy %s, expected %s",
			live.Spec.PersistentVolumeReclaimPolicy, want.Spec.PersistentVolumeReclaimPolicy)
	}
	return ""
}

func sameModes(a, b []corev1.PersistentVolumeAccessMode) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// Merge returns live with the properties of want, and what it had to change. live is not modified. Labels and
// annotations of other clients are kept.
func Merge(live, want *corev1.PersistentVolume) (merged *corev1.PersistentVolume, changed []string) {
	merged = live.DeepCopy()
	note := func(name string, differs bool) {
		if differs {
			changed = append(changed, name)
		}
	}
	for key, value := range want.Labels {
		note("label "+key, live.Labels[key] != value)
		metav1.SetMetaDataLabel(&merged.ObjectMeta, key, value)
	}
	for key, value := range want.Annotations {
		note("annotation "+key, live.Annotations[key] != value)
		metav1.SetMetaDataAnnotation(&merged.ObjectMeta, key, value)
	}
	has, needs := live.Spec.Capacity[corev1.ResourceStorage], want.Spec.Capacity[corev1.ResourceStorage]
	if has.Cmp(needs) != 0 {
		note("spec.capacity", true)
		merged.Spec.Capacity = want.Spec.Capacity
	}
	if !sameModes(live.Spec.AccessModes, want.Spec.AccessModes) {
		note("spec.accessModes", true)
		merged.Spec.AccessModes = want.Spec.AccessModes
	}
	if live.Spec.PersistentVolumeReclaimPolicy != want.Spec.PersistentVolumeReclaimPolicy {
		note("spec.persistentVolumeReclaimPolicy", true)
		merged.Spec.PersistentVolumeReclaimPolicy = want.Spec.PersistentVolumeReclaimPolicy
	}
	if live.Spec.StorageClassName != want.Spec.StorageClassName {
		note("spec.storageClassName", true)
		merged.Spec.StorageClassName = want.Spec.StorageClassName
	}
	if !slices.Equal(live.Spec.MountOptions, want.Spec.MountOptions) {
		note("spec.mountOptions", true)
		merged.Spec.MountOptions = want.Spec.MountOptions
	}
	// The claimRef of a bound PersistentVolume is left to the binder.
	ref, mine := live.Spec.ClaimRef, want.Spec.ClaimRef
	if live.Status.Phase != corev1.VolumeBound &&
		(ref == nil || ref.Name != mine.Name || ref.Namespace != mine.Namespace) {
		note("spec.claimRef", true)
		merged.Spec.ClaimRef = mine
	}
	slices.Sort(changed)
	return merged, changed
}
