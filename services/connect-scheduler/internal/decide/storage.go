package decide

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/utils/ptr"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/condition"
)

// labelClaim on a pod names the claim that it mounts, so that pods can be kept beside each other.
const labelClaim = "weir.dev/claim"

// defaultMountPath and the default access mode are those of seed 000.
const defaultMountPath = "/var/lib/kafka/data"

func mountPath(storage *connectv1.StorageSpec) string {
	if storage.MountPath == "" {
		return defaultMountPath
	}
	return storage.MountPath
}

func accessMode(storage *connectv1.StorageSpec) corev1.PersistentVolumeAccessMode {
	if storage.AccessMode == "" {
		return corev1.ReadWriteMany
	}
	return storage.AccessMode
}

// claimName is the claim that the pods mount.
func claimName(owner string, storage *connectv1.StorageSpec) string {
	if storage.ExistingClaim != "" {
		return storage.ExistingClaim
	}
	return ClaimName(owner)
}

// ClaimOf is the name of the claim that a connector's pods mount; empty where they share no volume.
func ClaimOf(c *connectv1.KafkaConnector, connect *connectv1.KafkaConnect) string {
	e := effectiveOf(c, connect)
	if e.storage == nil {
		return ""
	}
	return claimName(e.storageOwner, e.storage)
}

func storageVolume(e effective) *corev1ac.VolumeApplyConfiguration {
	source := corev1ac.PersistentVolumeClaimVolumeSource().WithClaimName(claimName(e.storageOwner, e.storage))
	if accessMode(e.storage) == corev1.ReadOnlyMany {
		source.WithReadOnly(true)
	}
	return corev1ac.Volume().WithName(volumeStorage).WithPersistentVolumeClaim(source)
}

func storageMount(storage *connectv1.StorageSpec) *corev1ac.VolumeMountApplyConfiguration {
	mount := corev1ac.VolumeMount().WithName(volumeStorage).WithMountPath(mountPath(storage))
	if accessMode(storage) == corev1.ReadOnlyMany {
		mount.WithReadOnly(true)
	}
	if storage.SubPath != "" {
		mount.WithSubPathExpr(storage.SubPath)
	}
	return mount
}

// affinity keeps the pods of a volume that only one node can mount on that node, and leaves the user's own as it is otherwise.
func affinity(own *corev1.Affinity, e effective) *corev1.Affinity {
	if e.storage == nil || accessMode(e.storage) != corev1.ReadWriteOnce {
		return own
	}
	merged := &corev1.Affinity{}
	if own != nil {
		merged = own.DeepCopy()
	}
	if merged.PodAffinity == nil {
		merged.PodAffinity = &corev1.PodAffinity{}
	}
	merged.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution = append(merged.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution, corev1.PodAffinityTerm{
		LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{labelClaim: claimName(e.storageOwner, e.storage)}},
		TopologyKey:   corev1.LabelHostname,
	})
	return merged
}

// claimOwner is the KafkaConnect or KafkaConnector that a claim is made for.
type claimOwner struct {
	kind, namespace, name string
	uid                   types.UID
	storage               *connectv1.StorageSpec
}

func (o claimOwner) labels() map[string]string {
	return map[string]string{
		contract.LabelName: "kafka-connect", contract.LabelInstance: o.name, contract.LabelComponent: "storage",
		contract.LabelPartOf: contract.PartOf, contract.LabelManagedBy: Manager, labelClaimKind: o.kind,
	}
}

// size that is asked for; 0 where it cannot be read, which the CRD's rules prevent.
func (o claimOwner) size() resource.Quantity {
	size, err := resource.ParseQuantity(o.storage.Size)
	if err != nil {
		return resource.Quantity{}
	}
	return size
}

// labelClaimKind on a claim is the kind of its owner: a kept claim is adopted only by an owner of the same kind and name.
const labelClaimKind = "weir.dev/claim-owner-kind"

// taken tells whether the claim belongs to somebody else.
func (o claimOwner) taken(live *corev1.PersistentVolumeClaim) bool {
	if live == nil || o.storage.ExistingClaim != "" {
		return false
	}
	return belongs(live, o.kind, o.name, o.uid) == foreign || live.Labels[labelClaimKind] != o.kind
}

// claim is the claim that the owner should have; nil where it is none of ours to make. What cannot be changed on a claim
// stays as it is: its class and access mode, and its size where less is asked for.
func (o claimOwner) claim(live *corev1.PersistentVolumeClaim) *corev1ac.PersistentVolumeClaimApplyConfiguration {
	if o.storage == nil || o.storage.ExistingClaim != "" || o.taken(live) {
		return nil
	}
	if live != nil && (live.DeletionTimestamp != nil || belongs(live, o.kind, o.name, o.uid) == formers) {
		return nil
	}
	size, class, mode := o.size(), o.storage.Class, accessMode(o.storage)
	if live != nil {
		if has := live.Spec.Resources.Requests[corev1.ResourceStorage]; size.Cmp(has) < 0 {
			size = has
		}
		if len(live.Spec.AccessModes) > 0 {
			mode = live.Spec.AccessModes[0]
		}
		if class != "" {
			class = ptr.Deref(live.Spec.StorageClassName, "")
		}
	}
	claimLabels, annotations := map[string]string{}, map[string]string{}
	if o.storage.Metadata != nil {
		for key, value := range o.storage.Metadata.Labels {
			claimLabels[key] = value
		}
		annotations = o.storage.Metadata.Annotations
	}
	for key, value := range o.labels() {
		claimLabels[key] = value
	}
	spec := corev1ac.PersistentVolumeClaimSpec().WithAccessModes(mode).
		WithResources(corev1ac.VolumeResourceRequirements().WithRequests(corev1.ResourceList{corev1.ResourceStorage: size}))
	if class != "" {
		spec.WithStorageClassName(class)
	}
	if o.storage.VolumeAttributesClass != "" {
		spec.WithVolumeAttributesClassName(o.storage.VolumeAttributesClass)
	}
	claim := corev1ac.PersistentVolumeClaim(ClaimName(o.name), o.namespace).WithLabels(claimLabels).WithSpec(spec)
	if len(annotations) > 0 {
		claim.WithAnnotations(annotations)
	}
	if o.storage.DeleteClaim {
		claim.WithOwnerReferences(ownerReference(o.kind, o.name, o.uid))
	}
	return claim
}

// storageReady is the condition of the volume, from the claim's own state and the newest warning about it.
func (o claimOwner) storageReady(live *corev1.PersistentVolumeClaim, trouble string) metav1.Condition {
	name := claimName(o.name, o.storage)
	not := func(reason, format string, args ...any) metav1.Condition {
		return condition.False(connectv1.ConditionStorageReady, reason, fmt.Sprintf(format, args...))
	}
	switch {
	case live == nil && o.storage.ExistingClaim != "":
		return not(connectv1.ReasonClaimNotFound, "storage.existingClaim %q: there is no such PersistentVolumeClaim in namespace %s; create it", name, o.namespace)
	case live == nil:
		return not(connectv1.ReasonClaimPending, "claim %s is being made", name)
	case o.taken(live):
		return not(connectv1.ReasonClaimConflict, "PersistentVolumeClaim %s belongs to somebody else; rename or delete it, or name it in storage.existingClaim to use it", name)
	case live.DeletionTimestamp != nil:
		return not(connectv1.ReasonClaimTerminating, "claim %s is being deleted", name)
	case live.Status.Phase == corev1.ClaimLost:
		return not(connectv1.ReasonClaimLost, "claim %s has lost its volume %s", name, live.Spec.VolumeName)
	case live.Status.Phase != corev1.ClaimBound && trouble != "":
		return not(connectv1.ReasonProvisioningFailed, "claim %s: %s", name, trouble)
	case live.Status.Phase != corev1.ClaimBound:
		return not(connectv1.ReasonClaimPending, "claim %s is not bound yet", name)
	}
	if differs := o.differs(live); differs != "" {
		return not(connectv1.ReasonClaimDiffers, "claim %s is left as it is, although %s; nothing of its data is touched", name, differs)
	}
	if has, wants := live.Status.Capacity[corev1.ResourceStorage], live.Spec.Resources.Requests[corev1.ResourceStorage]; has.Cmp(wants) < 0 {
		message := fmt.Sprintf("claim %s grows from %s to %s", name, has.String(), wants.String())
		if trouble != "" {
			message += ": " + trouble
		}
		return condition.False(connectv1.ConditionStorageReady, connectv1.ReasonClaimResizing, message)
	}
	if accessMode(o.storage) == corev1.ReadWriteOnce {
		return condition.True(connectv1.ConditionStorageReady, connectv1.ReasonBoundToOneNode, fmt.Sprintf("claim %s is bound; with accessMode ReadWriteOnce all pods are kept on one node", name))
	}
	return condition.True(connectv1.ConditionStorageReady, connectv1.ReasonBound, fmt.Sprintf("claim %s is bound to %s", name, live.Spec.VolumeName))
}

// differs says how a claim is other than the spec asks for, in ways that cannot be mended on the claim.
func (o claimOwner) differs(live *corev1.PersistentVolumeClaim) string {
	if o.storage.ExistingClaim != "" {
		return ""
	}
	size, has := o.size(), live.Spec.Resources.Requests[corev1.ResourceStorage]
	class := ptr.Deref(live.Spec.StorageClassName, "")
	switch {
	case o.storage.Class != "" && class != o.storage.Class:
		return fmt.Sprintf("storage.class asks for %q and it has %q", o.storage.Class, class)
	case len(live.Spec.AccessModes) > 0 && live.Spec.AccessModes[0] != accessMode(o.storage):
		return fmt.Sprintf("storage.accessMode asks for %s and it has %s", accessMode(o.storage), live.Spec.AccessModes[0])
	case size.Cmp(has) < 0:
		return fmt.Sprintf("storage.size asks for %s and it has %s, and a volume cannot shrink", o.storage.Size, has.String())
	}
	return ""
}

// claimIsTaken keeps the pods from mounting a claim of the right name that belongs to somebody else.
func claimIsTaken(s State, e effective) *finding {
	if e.storage == nil || s.Claim == nil {
		return nil
	}
	if o := s.claimOwner(e); o.taken(s.Claim) {
		c := o.storageReady(s.Claim, "")
		return &finding{c.Reason, c.Message}
	}
	return nil
}

// claimOwner is whom the volume of the connector's pods belongs to.
func (s State) claimOwner(e effective) claimOwner {
	if s.Connect != nil {
		return claimOwner{"KafkaConnect", s.Connect.Namespace, s.Connect.Name, s.Connect.UID, e.storage}
	}
	return claimOwner{"KafkaConnector", s.Connector.Namespace, s.Connector.Name, s.Connector.UID, e.storage}
}

// ClaimOfConnect is the name of the claim of a KafkaConnect's volume; empty where it has none.
func ClaimOfConnect(connect *connectv1.KafkaConnect) string {
	if connect.Spec.Storage == nil {
		return ""
	}
	return claimName(connect.Name, connect.Spec.Storage)
}
