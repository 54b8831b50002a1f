package spec

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
)

// LabelClaimKind on a claim is the kind of its owner. A claim that was kept is adopted only by an owner of the same
// kind and name.
const LabelClaimKind = "weir.dev/claim-owner-kind"

// defaultMountPath is the mount path of a shared volume without mountPath.
const defaultMountPath = "/var/lib/kafka/data"

// Volume is a shared volume.
type Volume struct {
	*connectv1.StorageSpec
	// Owner is the KafkaConnect or KafkaConnector that owns the claim.
	Owner observed.Owner
}

// VolumeOf returns the volume of a KafkaConnect, or nil.
func VolumeOf(connect *connectv1.KafkaConnect) *Volume {
	if connect.Spec.Storage == nil {
		return nil
	}
	return &Volume{connect.Spec.Storage, observed.ConnectOwner(connect)}
}

// ClaimName returns the name of the claim that pods mount. It is empty for a nil Volume.
func (v *Volume) ClaimName() string {
	switch {
	case v == nil:
		return ""
	case v.ExistingClaim != "":
		return v.ExistingClaim
	}
	return observed.ClaimName(v.Owner.Name)
}

// MountPath returns the path at which pods mount the volume.
func (v *Volume) MountPath() string {
	if v.StorageSpec.MountPath == "" {
		return defaultMountPath
	}
	return v.StorageSpec.MountPath
}

// AccessMode returns the access mode of the claim. The default is ReadWriteMany.
func (v *Volume) AccessMode() corev1.PersistentVolumeAccessMode {
	if v.StorageSpec.AccessMode == "" {
		return corev1.ReadWriteMany
	}
	return v.StorageSpec.AccessMode
}

// Size returns the requested size. It is 0 if the size is not valid, which the validation rules of the CRD prevent.
func (v *Volume) Size() resource.Quantity {
	size, err := resource.ParseQuantity(v.StorageSpec.Size)
	if err != nil {
		return resource.Quantity{}
	}
	return size
}

// Conflict returns a finding if a claim with the derived name is not managed for the owner of the volume.
func (v *Volume) Conflict(claim *corev1.PersistentVolumeClaim) *Finding {
	if claim == nil || v.ExistingClaim != "" {
		return nil
	}
	if v.Owner.Ownership(claim) != observed.Foreign && claim.Labels[LabelClaimKind] == v.Owner.Kind {
		return nil
	}
	return &Finding{connectv1.ReasonClaimConflict, fmt.Sprintf(
		"PersistentVolumeClaim %s exists and is not managed for %s %s; rename or delete it, or set storage.existingClaim",
		v.ClaimName(),
		v.Owner.Kind,
		v.Owner.Name,
	)}
}
