// Package decide decides what volume-provisioner writes. It is pure: no client, no clock, no I/O.
package decide

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/event"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/status"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/volumes"
)

// Plan lists the writes for one set.
type Plan struct {
	Status storagev1alpha1.KafkaLocalVolumeSetStatus
	// Reserves is true if the status places a volume or reserves more bytes. Such a status is decided with all earlier
	// reservations while no other set reserves, and is written before anything else.
	Reserves bool
	// Create are PersistentVolumes that do not exist.
	Create []*corev1.PersistentVolume
	// Update are PersistentVolumes that differ from the set.
	Update []Update
	// Release are PersistentVolumes whose claim was deleted.
	Release []*volumes.Release
	// Delete are PersistentVolumes of renamed nodes. They are created again with the new node.
	Delete []*corev1.PersistentVolume
	// Expand are claims whose PersistentVolume has the size that they request.
	Expand []Expansion
	// RequeueAfter is the time until a decision depends on the time; 0 if none does.
	RequeueAfter time.Duration
	// Events describe changes of conditions.
	Events []event.Event
}

// Update replaces a PersistentVolume, unless another client has written it since Live was read.
type Update struct {
	Live, Want *corev1.PersistentVolume
	Event      event.Event
}

// Expansion sets the capacity in the status of a claim.
type Expansion struct {
	Claim    *corev1.PersistentVolumeClaim
	Capacity resource.Quantity
}

// StatusChanged reports whether the status has to be written.
func (p Plan) StatusChanged(s *observed.State) bool {
	return !equality.Semantic.DeepEqual(s.Set.Status, p.Status)
}

// Progress reports whether the status differs only in the progress of volumes, while some are being prepared. Such a
// status can be written later: the next ones replace it soon.
func (p Plan) Progress(s *observed.State) bool {
	before, after := s.Set.Status, p.Status
	if before.ObservedGeneration != after.ObservedGeneration || len(before.Volumes) != len(after.Volumes) ||
		len(before.Conditions) != len(after.Conditions) {
		return false
	}
	for i, c := range after.Conditions {
		if old := before.Conditions[i]; old.Type != c.Type || !progress(old, c) {
			return false
		}
	}
	preparing := false
	for i, v := range after.Volumes {
		old := before.Volumes[i]
		if old.Marker != "" && v.Marker == "" {
			// The agent waits for it before it deletes the data.
			return false
		}
		old.Phase, old.Message, old.PV, old.Marker, old.NodeUID = v.Phase, v.Message, v.PV, v.Marker, v.NodeUID
		if !equality.Semantic.DeepEqual(old, v) {
			return false
		}
		preparing = preparing || v.Phase == storagev1alpha1.PhasePreparing
	}
	return preparing
}

// AwaitsReport reports whether a new set only waits for the first reports of agents about its base path. They take less
// than a second, if the agents run.
func (p Plan) AwaitsReport(s *observed.State) bool {
	ready := meta.FindStatusCondition(p.Status.Conditions, storagev1alpha1.ConditionReady)
	return s.Set.Status.ObservedGeneration == 0 && ready != nil &&
		ready.Reason == string(storagev1alpha1.ReasonWaitingForAgents)
}

// progress reports whether a condition is the same, or changes on the way to a set that is Ready.
func progress(before, after metav1.Condition) bool {
	switch {
	case before.Status == after.Status && before.Reason == after.Reason:
		return true
	case after.Type == storagev1alpha1.ConditionDirectoriesReady:
		return after.Status == metav1.ConditionTrue
	}
	return after.Type == storagev1alpha1.ConditionReady && before.Status == after.Status && status.Transient(after.Reason)
}

// Empty reports whether the plan writes nothing.
func (p Plan) Empty(s *observed.State) bool {
	return !p.StatusChanged(s) && len(p.Create)+len(p.Update)+len(p.Release)+len(p.Delete)+len(p.Expand) == 0
}
