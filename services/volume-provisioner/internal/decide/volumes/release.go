package volumes

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// Release makes a released PersistentVolume available for a claim of the same name. It is written only if a live read
// shows that the claim with the uid in Live does not exist any more.
type Release struct {
	Live, Want *corev1.PersistentVolume
}

// ReleaseOf returns the release of a PersistentVolume whose claim was deleted, or why it has to wait. The caller has
// checked that the directory is ready and has the marker of the volume.
func ReleaseOf(s *observed.State, v spec.Volume, pv *corev1.PersistentVolume) (*Release, string) {
	uid := pv.Spec.ClaimRef.UID
	if uid == "" {
		// It was released already, and Kubernetes has not yet changed its phase to Available.
		return nil, ""
	}
	claim := s.Claims[v.Claim]
	if claim != nil && claim.UID == uid {
		doing := "bound"
		if claim.DeletionTimestamp != nil {
			doing = "deleted"
		}
		return nil, fmt.Sprintf("claim %s is being %s", v.Claim, doing)
	}
	if pod := observed.UserOf(s.Pods[v.Claim], claim, uid); pod != "" {
		return nil, fmt.Sprintf("pod %s still uses the volume; it is available again after the pod has ended", pod)
	}
	switch s.Set.Spec.ReusePolicy {
	case storagev1alpha1.ReuseNever:
		return nil, "spec.reusePolicy is Never: the volume stays Released; use Automatic or Manual to bind it again"
	case storagev1alpha1.ReuseManual:
		if pv.Annotations[storagev1alpha1.AnnotationAllowReuse] != string(uid) {
			return nil, fmt.Sprintf("spec.reusePolicy is Manual: set the annotation %s=%s on PersistentVolume %s to allow "+
				"that a new claim binds", storagev1alpha1.AnnotationAllowReuse, uid, pv.Name)
		}
	}
	want := pv.DeepCopy()
	want.Spec.ClaimRef = claimRef(v)
	Await(want, claim)
	delete(want.Annotations, storagev1alpha1.AnnotationAllowReuse)
	metav1.SetMetaDataAnnotation(&want.ObjectMeta, storagev1alpha1.AnnotationRebinds,
		strconv.FormatInt(Rebinds(pv)+1, 10))
	return &Release{Live: pv, Want: want}, ""
}

// Await names the uid of a claim that waits for the PersistentVolume. With the uid Kubernetes binds at once. Without it
// a claim that existed before the PersistentVolume waits for the next resync of the binder, for up to 15 s.
func Await(pv *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) {
	if claim == nil || claim.DeletionTimestamp != nil {
		return
	}
	if reason, _ := Mismatch(claim, pv); reason == "" {
		pv.Spec.ClaimRef.UID = claim.UID
	}
}

// Rebinds returns how often a PersistentVolume was made available again. The number is on the PersistentVolume, so that
// it is written together with the claimRef and cannot be lost.
func Rebinds(pv *corev1.PersistentVolume) int64 {
	n, err := strconv.ParseInt(pv.Annotations[storagev1alpha1.AnnotationRebinds], 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// Mismatch returns why a claim cannot use its PersistentVolume, empty if it can.
func Mismatch(
	claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume,
) (storagev1alpha1.VolumeReason, string) {
	if bound := claim.Spec.VolumeName; bound != "" && bound != pv.Name {
		return storagev1alpha1.ReasonBoundElsewhere, fmt.Sprintf(
			"claim %s is bound to PersistentVolume %s and not to %s; delete the claim to bind it again", claim.Name, bound,
			pv.Name)
	}
	class := claim.Annotations[corev1.BetaStorageClassAnnotation]
	if claim.Spec.StorageClassName != nil {
		class = *claim.Spec.StorageClassName
	}
	if class != pv.Spec.StorageClassName {
		return storagev1alpha1.ReasonClassDiffers, fmt.Sprintf(
			"claim %s has storageClassName %q; set it to %q, the class of PersistentVolume %s", claim.Name, class,
			pv.Spec.StorageClassName, pv.Name)
	}
	asks, has := claim.Spec.Resources.Requests[corev1.ResourceStorage], pv.Spec.Capacity[corev1.ResourceStorage]
	if asks.Cmp(has) > 0 {
		return storagev1alpha1.ReasonSizeTooLarge, fmt.Sprintf(
			"claim %s requests %s, and PersistentVolume %s has %s; raise spec.templates[].size of the set", claim.Name,
			asks.String(), pv.Name, has.String())
	}
	for _, mode := range claim.Spec.AccessModes {
		found := false
		for _, offered := range pv.Spec.AccessModes {
			found = found || offered == mode
		}
		if !found {
			return storagev1alpha1.ReasonAccessModesDiffer, fmt.Sprintf(
				"claim %s requests access mode %s, and PersistentVolume %s has %v; add it to spec.templates[].accessModes",
				claim.Name, mode, pv.Name, pv.Spec.AccessModes)
		}
	}
	return "", ""
}
