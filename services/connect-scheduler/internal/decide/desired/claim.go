package desired

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/utils/ptr"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

func storageVolume(v *spec.Volume) *corev1ac.VolumeApplyConfiguration {
	source := corev1ac.PersistentVolumeClaimVolumeSource().WithClaimName(v.ClaimName())
	if v.AccessMode() == corev1.ReadOnlyMany {
		source.WithReadOnly(true)
	}
	return corev1ac.Volume().WithName(volumeStorage).WithPersistentVolumeClaim(source)
}

func storageMount(v *spec.Volume) *corev1ac.VolumeMountApplyConfiguration {
	mount := corev1ac.VolumeMount().WithName(volumeStorage).WithMountPath(v.MountPath())
	if v.AccessMode() == corev1.ReadOnlyMany {
		mount.WithReadOnly(true)
	}
	if v.SubPath != "" {
		mount.WithSubPathExpr(v.SubPath)
	}
	return mount
}

// ClaimLabel returns the value of LabelClaim: the name of the claim, or its hash if the name is too long for a label.
// It is empty without a volume.
func ClaimLabel(v *spec.Volume) string {
	name := v.ClaimName()
	if len(name) > validation.LabelValueMaxLength {
		return contract.TaskConfigHash([]byte(name))
	}
	return name
}

// affinity returns the affinity of the user. If only one node can mount the volume, it adds a term that schedules all
// pods of the volume on the same node.
func affinity(own *corev1.Affinity, v *spec.Volume) *corev1.Affinity {
	if v == nil || v.AccessMode() != corev1.ReadWriteOnce {
		return own
	}
	merged := &corev1.Affinity{}
	if own != nil {
		merged = own.DeepCopy()
	}
	if merged.PodAffinity == nil {
		merged.PodAffinity = &corev1.PodAffinity{}
	}
	required := &merged.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	*required = append(*required, corev1.PodAffinityTerm{
		LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{LabelClaim: ClaimLabel(v)}},
		TopologyKey:   corev1.LabelHostname,
	})
	return merged
}

// Claim returns the desired claim of a volume. It is nil if connect-scheduler must not write the claim. Fields that are
// immutable keep their observed value: the class, the access mode, and the size if the spec asks for less.
func Claim(v *spec.Volume, live *corev1.PersistentVolumeClaim) *corev1ac.PersistentVolumeClaimApplyConfiguration {
	if v.ExistingClaim != "" || v.Conflict(live) != nil {
		return nil
	}
	if live != nil && (live.DeletionTimestamp != nil || v.Owner.Ownership(live) == observed.OwnedByDeleted) {
		return nil
	}
	size, class, mode := v.Size(), v.Class, v.AccessMode()
	if live != nil {
		if current := live.Spec.Resources.Requests[corev1.ResourceStorage]; size.Cmp(current) < 0 {
			size = current
		}
		if len(live.Spec.AccessModes) > 0 {
			mode = live.Spec.AccessModes[0]
		}
		if class != "" {
			class = ptr.Deref(live.Spec.StorageClassName, "")
		}
	}
	claimSpec := corev1ac.PersistentVolumeClaimSpec().WithAccessModes(mode).
		WithResources(corev1ac.VolumeResourceRequirements().
			WithRequests(corev1.ResourceList{corev1.ResourceStorage: size}))
	if class != "" {
		claimSpec.WithStorageClassName(class)
	}
	if v.VolumeAttributesClass != "" {
		claimSpec.WithVolumeAttributesClassName(v.VolumeAttributesClass)
	}
	claim := corev1ac.PersistentVolumeClaim(v.ClaimName(), v.Owner.Namespace).
		WithLabels(claimLabels(v)).WithSpec(claimSpec)
	if v.Metadata != nil && len(v.Metadata.Annotations) > 0 {
		claim.WithAnnotations(v.Metadata.Annotations)
	}
	if v.DeleteClaim {
		claim.WithOwnerReferences(OwnerReference(v.Owner))
	}
	return claim
}

func claimLabels(v *spec.Volume) map[string]string {
	all := map[string]string{}
	if v.Metadata != nil {
		maps.Copy(all, v.Metadata.Labels)
	}
	maps.Copy(all, map[string]string{
		contract.LabelName: "kafka-connect", contract.LabelInstance: v.Owner.Name, contract.LabelComponent: "storage",
		contract.LabelPartOf: contract.PartOf, contract.LabelManagedBy: observed.Manager,
		spec.LabelClaimKind: v.Owner.Kind,
	})
	return all
}
