package status

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/pkg/condition"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// StorageReady returns the condition of a shared volume. It is nil without a volume. warning is the message of the
// newest warning event about the claim.
func StorageReady(
	v *spec.Volume, live *corev1.PersistentVolumeClaim, warning string, class observed.ClassState,
) *metav1.Condition {
	if v == nil {
		return nil
	}
	ready := storageReady(v, live, warning, class)
	return &ready
}

func storageReady(
	v *spec.Volume, live *corev1.PersistentVolumeClaim, warning string, class observed.ClassState,
) metav1.Condition {
	name := v.ClaimName()
	notReady := func(reason, format string, args ...any) metav1.Condition {
		return condition.False(connectv1.ConditionStorageReady, reason, fmt.Sprintf(format, args...))
	}
	if live == nil {
		if unusable := v.Unusable(live, class); unusable != nil {
			return notReady(unusable.Reason, "%s", unusable.Message)
		}
		return notReady(connectv1.ReasonClaimPending, "creating claim %s", name)
	}
	if conflict := v.Conflict(live); conflict != nil {
		return notReady(conflict.Reason, "%s", conflict.Message)
	}
	unusable, wrongClass := v.Unusable(live, class), v.WrongClass(live)
	switch bound := live.Status.Phase == corev1.ClaimBound; {
	case live.DeletionTimestamp != nil:
		return notReady(connectv1.ReasonClaimTerminating, "claim %s is being deleted", name)
	case live.Status.Phase == corev1.ClaimLost:
		return notReady(connectv1.ReasonClaimLost, "claim %s has lost its volume %s", name, live.Spec.VolumeName)
	case !bound && wrongClass != "":
		return notReady(connectv1.ReasonClaimDiffers, "claim %s is not bound: %s", name, wrongClass)
	case unusable != nil:
		return notReady(unusable.Reason, "%s", unusable.Message)
	case !bound && warning != "":
		return notReady(connectv1.ReasonProvisioningFailed, "claim %s: %s", name, warning)
	case !bound:
		return notReady(connectv1.ReasonClaimPending, "claim %s is not bound yet", name)
	}
	if difference := difference(v, live); difference != "" {
		return notReady(connectv1.ReasonClaimDiffers, "claim %s is unchanged: %s", name, difference)
	}
	capacity, request := live.Status.Capacity[corev1.ResourceStorage], live.Spec.Resources.Requests[corev1.ResourceStorage]
	if capacity.Cmp(request) < 0 {
		message := fmt.Sprintf("expanding claim %s from %s to %s", name, capacity.String(), request.String())
		if warning != "" {
			message += ": " + warning
		}
		return notReady(connectv1.ReasonClaimResizing, "%s", message)
	}
	if v.AccessMode() == corev1.ReadWriteOnce {
		return condition.True(connectv1.ConditionStorageReady, connectv1.ReasonBoundToOneNode, fmt.Sprintf(
			"claim %s is bound; accessMode ReadWriteOnce schedules all pods on one node", name))
	}
	return condition.True(connectv1.ConditionStorageReady, connectv1.ReasonBound,
		fmt.Sprintf("claim %s is bound to %s", name, live.Spec.VolumeName))
}

// difference describes a difference between a claim and the spec that cannot be applied to the claim.
func difference(v *spec.Volume, live *corev1.PersistentVolumeClaim) string {
	if v.ExistingClaim != "" {
		return ""
	}
	size, current := v.Size(), live.Spec.Resources.Requests[corev1.ResourceStorage]
	class := ptr.Deref(live.Spec.StorageClassName, "")
	switch {
	case v.Class != "" && class != v.Class:
		return fmt.Sprintf(
			"storage.class is %q and the claim has %q; the class of a claim is immutable",
			v.Class,
			class,
		)
	case len(live.Spec.AccessModes) > 0 && live.Spec.AccessModes[0] != v.AccessMode():
		return fmt.Sprintf("storage.accessMode is %s and the claim has %s; the access mode of a claim is immutable",
			v.AccessMode(), live.Spec.AccessModes[0])
	case size.Cmp(current) < 0:
		return fmt.Sprintf("storage.size is %s and the claim has %s; a volume cannot shrink",
			v.StorageSpec.Size, current.String())
	}
	return ""
}

// storageProblem returns the condition StorageReady if it explains why pods do not start. A claim that is Pending is
// no explanation: it may wait for the first pod.
func storageProblem(storage *metav1.Condition) *metav1.Condition {
	if storage == nil || storage.Status == metav1.ConditionTrue {
		return nil
	}
	switch storage.Reason {
	case connectv1.ReasonClaimNotFound, connectv1.ReasonStorageClassNotFound, connectv1.ReasonClaimLost,
		connectv1.ReasonClaimTerminating, connectv1.ReasonProvisioningFailed:
		return storage
	}
	return nil
}
