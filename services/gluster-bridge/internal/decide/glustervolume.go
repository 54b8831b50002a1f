package decide

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	storageac "github.com/weir-dev/weir/generated/applyconfiguration/storage/v1alpha1"
)

// GlusterVolumeName returns the name of the GlusterVolume of a volume: the name of the directory and a hash of the
// whole id, because two namespaces can have storages of one name.
func GlusterVolumeName(id VolumeID) string {
	sum := sha256.Sum256([]byte(id.String()))
	return strings.ReplaceAll(id.Directory, ".", "-") + "-" + hex.EncodeToString(sum[:10])
}

// VolumeOf returns the volume of a GlusterVolume that gluster-bridge manages.
func VolumeOf(gv *storagev1alpha1.GlusterVolume) (id VolumeID, ok bool) {
	id, err := ParseVolumeID(gv.Spec.Storage + "/" + path.Base(gv.Spec.Path))
	if err != nil || id.Whole() || DataPath(id.Directory) != gv.Spec.Path || GlusterVolumeName(id) != gv.Name {
		return VolumeID{}, false
	}
	return id, true
}

// GlusterVolume returns the GlusterVolume of a volume. volumeID is the UUID of the GlusterFS volume, or empty.
func GlusterVolume(
	id VolumeID, info Info, volume, volumeID string,
) *storageac.GlusterVolumeApplyConfiguration {
	spec := storageac.GlusterVolumeSpec().WithStorage(id.StorageID()).WithVolume(volume).
		WithPath(DataPath(id.Directory)).WithCapacityBytes(info.Size).WithProjectID(info.ProjectID)
	if volumeID != "" {
		spec = spec.WithVolumeID(volumeID)
	}
	return storageac.GlusterVolume(GlusterVolumeName(id)).
		WithLabels(map[string]string{
			contract.LabelName:      Manager,
			contract.LabelPartOf:    contract.PartOf,
			contract.LabelManagedBy: Manager,
		}).
		WithSpec(spec)
}

// Replaces reports whether an existing GlusterVolume has to be deleted first, because a field that cannot change
// differs.
func Replaces(gv *storagev1alpha1.GlusterVolume, id VolumeID, info Info, volume string) bool {
	return gv.Spec.Storage != id.StorageID() || gv.Spec.Volume != volume || gv.Spec.Path != DataPath(id.Directory) ||
		gv.Spec.ProjectID != info.ProjectID
}

// VolumeState is what is observed of one volume.
type VolumeState struct {
	ID VolumeID
	// Storage is the storage, or nil if it does not exist or cannot be used.
	Storage *Storage
	// Mode is the quota mode in effect.
	Mode kadaluv1alpha1.QuotaMode
	// Volume is the GlusterVolume, or nil.
	Volume *storagev1alpha1.GlusterVolume
	// Listed is true if the metadata of all volumes of the storage has been read.
	Listed bool
	// Info is the metadata of the volume, or nil if it is missing or damaged.
	Info *Info
	// Busy is true while a CSI call changes the volume.
	Busy bool
	// Probe is the last probe of the storage, or nil.
	Probe *Probe
	// Shown is true if statfs shows the limit of the current size. It is read only if the mode is External.
	Shown bool
}

// VolumePlan lists the writes for one volume. At most one of Delete, Recover, Allocate, Renumber and Apply is set.
type VolumePlan struct {
	// Delete is true if the GlusterVolume is not needed.
	Delete bool
	// Recover is true if the metadata is missing or damaged: it is written again if the directory exists, and the
	// GlusterVolume is deleted otherwise.
	Recover bool
	// Allocate is true if the metadata has no project id or names no storage.
	Allocate bool
	// Renumber is true if a brick refuses the project id, because it belongs to something else there.
	Renumber bool
	// Apply is the desired GlusterVolume.
	Apply *storageac.GlusterVolumeApplyConfiguration
	// Conditions of the status, or nil.
	Conditions []metav1.Condition
}

// Volume plans the writes for one volume.
func Volume(state VolumeState) VolumePlan {
	gv := state.Volume
	switch {
	case state.Busy || gv != nil && gv.DeletionTimestamp != nil:
		return VolumePlan{}
	case state.Storage == nil:
		// The limits stay until the storage is created again, or is deleted and removes its GlusterVolumes.
		return VolumePlan{Conditions: conditions(state)}
	case !state.Storage.Limited():
		return VolumePlan{Delete: gv != nil}
	case !state.Listed:
		return VolumePlan{Conditions: conditions(state)}
	case state.Info == nil && gv != nil && another(state):
		return VolumePlan{Conditions: conditions(state)}
	case state.Info == nil:
		return VolumePlan{Recover: gv != nil}
	case state.Info.Storage != "" && state.Info.Storage != state.ID.StorageID():
		return VolumePlan{Delete: gv != nil}
	case state.Info.ProjectID == 0 || state.Info.Storage == "":
		return VolumePlan{Allocate: true}
	case gv != nil && Replaces(gv, state.ID, *state.Info, state.Storage.Volume.Name):
		return VolumePlan{Delete: true}
	case gv != nil && projectInUse(gv):
		return VolumePlan{Renumber: true, Conditions: conditions(state)}
	}
	plan := VolumePlan{Conditions: conditions(state)}
	volumeID := ""
	if state.Probe != nil && state.Probe.Graph.ID != "" {
		volumeID = state.Probe.Graph.ID
	} else if gv != nil {
		volumeID = gv.Spec.VolumeID
	}
	if gv == nil || gv.Spec.CapacityBytes != state.Info.Size || gv.Spec.VolumeID != volumeID {
		plan.Apply = GlusterVolume(state.ID, *state.Info, state.Storage.Volume.Name, volumeID)
	}
	return plan
}

// projectInUse reports whether a brick refuses the project id of a GlusterVolume.
func projectInUse(gv *storagev1alpha1.GlusterVolume) bool {
	return slices.ContainsFunc(gv.Status.Bricks, func(b storagev1alpha1.BrickStatus) bool {
		return b.State == storagev1alpha1.BrickProjectInUse && b.ObservedGeneration == gv.Generation
	})
}

// another reports whether the mounted GlusterFS volume is not the one that the GlusterVolume was written for. Its
// limits must stay: the previous volume may come back.
func another(state VolumeState) bool {
	p, gv := state.Probe, state.Volume
	return p != nil && p.Err == nil && p.Graph.ID != "" && gv.Spec.VolumeID != "" && p.Graph.ID != gv.Spec.VolumeID
}

func conditions(state VolumeState) []metav1.Condition {
	if state.Volume == nil {
		return nil
	}
	return []metav1.Condition{enforced(state)}
}
