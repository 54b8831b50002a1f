package spec

import (
	"fmt"
	"strings"

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

// ClaimClass returns the class of the claim, which is immutable, or the class of the spec if the claim does not exist.
// It is empty for the default class of the cluster and for a nil Volume.
func (v *Volume) ClaimClass(claim *corev1.PersistentVolumeClaim) string {
	switch {
	case claim != nil && claim.Spec.StorageClassName != nil:
		return *claim.Spec.StorageClassName
	case v == nil:
		return ""
	}
	return v.Class
}

// Unusable returns a finding if pods that mount the claim cannot start. Without it, pods would restart and stay
// Pending. A claim that is only Pending is usable: its class may wait for the first pod.
func (v *Volume) Unusable(claim *corev1.PersistentVolumeClaim, class observed.ClassState) *Finding {
	switch {
	case v.ExistingClaim != "" && claim == nil:
		return &Finding{connectv1.ReasonClaimNotFound, fmt.Sprintf(
			"storage.existingClaim %q: PersistentVolumeClaim not found in namespace %s; create it",
			v.ExistingClaim, v.Owner.Namespace)}
	case class == observed.ClassMissing && (claim == nil || claim.Spec.VolumeName == ""):
		return &Finding{connectv1.ReasonStorageClassNotFound, fmt.Sprintf(
			"StorageClass %q of claim %s not found, and no PersistentVolume of this class is available; "+
				"create the StorageClass%s",
			v.ClaimClass(claim), v.ClaimName(), v.changeClass(claim))}
	}
	return nil
}

// changeClass returns the advice to use another class. The class is immutable in the claim and in spec.storage. Only a
// claim that has never been bound holds no data and is deleted.
func (v *Volume) changeClass(claim *corev1.PersistentVolumeClaim) string {
	if v.ExistingClaim != "" {
		return ""
	}
	object := strings.ToLower(v.Owner.Kind) + " " + v.Owner.Name + " -n " + v.Owner.Namespace
	command := "kubectl patch " + object + ` --type=json -p '[{"op":"remove","path":"/spec/storage"}]'`
	if claim != nil && claim.Spec.VolumeName == "" {
		command += fmt.Sprintf(" && kubectl delete pvc %s -n %s", claim.Name, claim.Namespace)
	}
	return ", or run `" + command + "` and add spec.storage again with another class"
}

// WrongClass returns the advice for a claim that is not bound and whose class differs from the spec. It is empty for
// other claims.
func (v *Volume) WrongClass(claim *corev1.PersistentVolumeClaim) string {
	current := v.ClaimClass(claim)
	if v.ExistingClaim != "" || v.Class == "" || current == v.Class || claim.Spec.VolumeName != "" {
		return ""
	}
	return fmt.Sprintf("storage.class is %q and the claim has %q; the claim has never been bound and holds no data; "+
		"run `kubectl delete pvc %s -n %s`: it is created again with the class of the spec",
		v.Class, current, claim.Name, claim.Namespace)
}
