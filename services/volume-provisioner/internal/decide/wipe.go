package decide

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/volumes"
)

// WipeState is what a VolumeWipe depends on.
type WipeState struct {
	Wipe *storagev1alpha1.VolumeWipe
	// Volume is the PersistentVolume with the name in the spec, or nil.
	Volume *corev1.PersistentVolume
	// Claim is the claim that the PersistentVolume is for, or nil.
	Claim *corev1.PersistentVolumeClaim
	Pods  []*corev1.Pod
	// Agent is the LocalVolumeNode of the node in the status, or of the PersistentVolume.
	Agent *storagev1alpha1.LocalVolumeNode
	Now   metav1.Time
}

// WipePlan is what is written for a VolumeWipe: first the status, then the deletion of the PersistentVolume.
type WipePlan struct {
	Status storagev1alpha1.VolumeWipeStatus
	Delete *corev1.PersistentVolume
}

// Wipe decides about a VolumeWipe. The status Accepted is written while the PersistentVolume still exists, so that a
// restart does not lose which directory is deleted. The agent gets the work when the PersistentVolume is gone.
func Wipe(s *WipeState) WipePlan {
	status := s.Wipe.Status
	if status.State == storagev1alpha1.WipeDone || status.State == storagev1alpha1.WipeRefused {
		return WipePlan{Status: status}
	}
	if !deletes(status.State) {
		status.State, status.Message = s.check()
		if status.State == storagev1alpha1.WipeAccepted {
			status.Node = s.Volume.Annotations[storagev1alpha1.AnnotationNode]
		}
		return WipePlan{Status: status}
	}
	plan := WipePlan{Status: status}
	if v := s.Volume; v != nil && volumes.Managed(v) && v.Spec.Local != nil && v.Spec.Local.Path == s.Wipe.Spec.Path &&
		v.DeletionTimestamp == nil && status.State == storagev1alpha1.WipeAccepted {
		if s.Volume.Status.Phase == corev1.VolumeBound {
			plan.Status.State = storagev1alpha1.WipePending
			plan.Status.Message = fmt.Sprintf("spec.pv %s was bound again; delete its claim", s.Volume.Name)
			return plan
		}
		plan.Delete = s.Volume
		return plan
	}
	if s.Agent == nil {
		return plan
	}
	for _, w := range s.Agent.Status.Wipes {
		if w.ID != s.Wipe.UID {
			continue
		}
		plan.Status.State, plan.Status.Message, plan.Status.FreedBytes = w.State, w.Message, w.FreedBytes
		if w.State == storagev1alpha1.WipeDone && status.CompletionTime == nil {
			plan.Status.CompletionTime = &s.Now
		}
	}
	return plan
}

// check compares the spec with the PersistentVolume.
func (s *WipeState) check() (storagev1alpha1.WipeState, string) {
	want, pv := s.Wipe.Spec, s.Volume
	refuse := func(format string, args ...any) (storagev1alpha1.WipeState, string) {
		return storagev1alpha1.WipeRefused, fmt.Sprintf(format, args...) + "; nothing was deleted: create another VolumeWipe"
	}
	switch {
	case pv == nil:
		return refuse("spec.pv %s does not exist", want.PV)
	case !volumes.Managed(pv):
		return refuse("spec.pv %s is not managed by %s", want.PV, spec.Manager)
	case !strings.HasPrefix(pv.Annotations[storagev1alpha1.AnnotationVolume], s.Wipe.Namespace+"/"):
		return refuse("spec.pv %s is not for a claim of namespace %s", want.PV, s.Wipe.Namespace)
	case pv.UID != want.PVUID:
		return refuse("spec.pvUID %s is not the uid of PersistentVolume %s (%s)", want.PVUID, want.PV, pv.UID)
	case pv.Spec.Local == nil || pv.Spec.Local.Path != want.Path:
		return refuse("spec.path %s is not the path of PersistentVolume %s", want.Path, want.PV)
	case pv.Status.Phase == corev1.VolumeBound:
		return storagev1alpha1.WipePending, fmt.Sprintf("spec.pv %s is bound; delete its claim", want.PV)
	}
	uid := types.UID("")
	if pv.Spec.ClaimRef != nil {
		uid = pv.Spec.ClaimRef.UID
	}
	if pod := observed.UserOf(s.Pods, s.Claim, uid); pod != "" {
		return storagev1alpha1.WipePending, fmt.Sprintf("pod %s uses spec.pv %s; delete the pod", pod, want.PV)
	}
	if s.Claim != nil {
		return storagev1alpha1.WipePending, fmt.Sprintf("claim %s exists and would bind to spec.pv %s; delete the claim",
			s.Claim.Name, want.PV)
	}
	return storagev1alpha1.WipeAccepted, ""
}

// deletes reports whether the deletion of the data has begun or may begin at any time.
func deletes(state storagev1alpha1.WipeState) bool {
	switch state {
	case storagev1alpha1.WipeAccepted, storagev1alpha1.WipeMoved, storagev1alpha1.WipeFailed:
		return true
	}
	return false
}

// Wiping returns the ids of the volumes of a namespace whose data is about to be renamed.
func Wiping(wipes []*storagev1alpha1.VolumeWipe, agents map[string]*storagev1alpha1.LocalVolumeNode) map[string]bool {
	ids := map[string]bool{}
	for _, w := range wipes {
		if state := w.Status.State; state != storagev1alpha1.WipeAccepted && state != storagev1alpha1.WipeFailed {
			continue
		}
		if agent := agents[w.Status.Node]; agent != nil {
			if _, _, marker, ok := target(&NodeState{Agent: agent}, w); ok {
				ids[marker] = true
			}
		}
	}
	return ids
}

// target returns the directory of a wipe. It is known from the directories of the node, or from the work that the agent
// already has.
func target(s *NodeState, w *storagev1alpha1.VolumeWipe) (base, path, marker string, ok bool) {
	for _, d := range s.Agent.Spec.Directories {
		if spec.Join(d.BasePath, d.Path) == w.Spec.Path && strings.HasPrefix(d.ID, w.Namespace+"/") {
			if s.HasVolume != nil && s.HasVolume(spec.Split(d.ID)) && w.Status.State == storagev1alpha1.WipeAccepted {
				return "", "", "", false
			}
			return d.BasePath, d.Path, d.ID, true
		}
	}
	for _, known := range s.Agent.Spec.Wipes {
		if known.ID == w.UID {
			return known.BasePath, known.Path, known.Marker, true
		}
	}
	return "", "", "", false
}
