// Package decide decides what volume-provisioner writes. It is pure: no client, no clock, no I/O.
package decide

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/event"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
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

// Empty reports whether the plan writes nothing.
func (p Plan) Empty(s *observed.State) bool {
	return !p.StatusChanged(s) && len(p.Create)+len(p.Update)+len(p.Release)+len(p.Delete)+len(p.Expand) == 0
}
