package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// KafkaLocalVolumeSetStatus is the observed state of a set.
type KafkaLocalVolumeSetStatus struct {
	// observedGeneration is the generation of the spec that this status reflects.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready, PlacementComplete, DirectoriesReady, CapacityOK, NodeLost, Conflict and ClaimMismatch.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// replicas is the number of replicas whose volumes are all ready.
	// +optional
	Replicas int32 `json:"replicas"`

	// ready is the number of volumes that are ready and the number of all volumes, for example 9/9.
	// +optional
	Ready string `json:"ready,omitempty"`

	// bound is the number of volumes whose claim is bound.
	// +optional
	Bound int32 `json:"bound"`

	// rebinds is the number of times that a released volume was made available for its claim again.
	// +optional
	Rebinds int64 `json:"rebinds,omitempty"`

	// volumes lists all volumes, also those of removed replicas.
	// +optional
	// +listType=atomic
	Volumes []LocalVolumeStatus `json:"volumes,omitempty"`
}

// LocalVolumeStatus is the observed state of one volume.
type LocalVolumeStatus struct {
	// claim is the name of the PersistentVolumeClaim.
	Claim string `json:"claim"`
	// ordinal of the replica.
	Ordinal int32 `json:"ordinal"`
	// template is the name of the template.
	Template string `json:"template"`
	// pv is the name of the PersistentVolume: the claim's name, or <namespace>-<claim> if another PersistentVolume has
	// that name.
	// +optional
	PV string `json:"pv,omitempty"`
	// node is the name of the node that has the directory. It is recorded before the directory is created and changes only
	// if the node is renamed or replaced.
	// +optional
	Node string `json:"node,omitempty"`
	// nodeUID is the uid of the Node object.
	// +optional
	NodeUID types.UID `json:"nodeUID,omitempty"`
	// path is the directory on the node.
	// +optional
	Path string `json:"path,omitempty"`
	// bytes is the size that the volume reserves.
	// +optional
	Bytes int64 `json:"bytes,omitempty"`
	// phase of the volume.
	// +optional
	Phase LocalVolumePhase `json:"phase,omitempty"`
	// message explains the phase, and what to do.
	// +optional
	Message string `json:"message,omitempty"`
	// marker is the id in the marker file of the directory. It is empty until the agent has created the directory.
	// +optional
	Marker string `json:"marker,omitempty"`
	// previous records the directories that the volume had on lost nodes.
	// +optional
	// +listType=atomic
	Previous []PreviousLocation `json:"previous,omitempty"`
}

// PreviousLocation is a directory that a volume had on a lost node.
type PreviousLocation struct {
	// node is the name of the lost node.
	Node string `json:"node"`
	// path is the directory on the lost node.
	Path string `json:"path"`
	// replaced is the time at which the volume moved.
	Replaced metav1.Time `json:"replaced"`
}

// LocalVolumePhase is the phase of a volume.
type LocalVolumePhase string

// Phases of a volume.
const (
	// PhaseUnplaced: no node has been chosen.
	PhaseUnplaced LocalVolumePhase = "Unplaced"
	// PhasePreparing: the agent creates or checks the directory.
	PhasePreparing LocalVolumePhase = "Preparing"
	// PhaseAvailable: the PersistentVolume waits for its claim.
	PhaseAvailable LocalVolumePhase = "Available"
	// PhaseBound: the claim is bound.
	PhaseBound LocalVolumePhase = "Bound"
	// PhaseReleased: the claim was deleted, and the volume may not be used again yet.
	PhaseReleased LocalVolumePhase = "Released"
	// PhaseConflict: another volume, set or person uses the directory, the claim or the PersistentVolume.
	PhaseConflict LocalVolumePhase = "Conflict"
	// PhaseFailed: the directory or its file system has an error.
	PhaseFailed LocalVolumePhase = "Failed"
	// PhaseLost: the node does not exist.
	PhaseLost LocalVolumePhase = "Lost"
	// PhaseRetained: the replica is not part of the set any more; its data is kept.
	PhaseRetained LocalVolumePhase = "Retained"
)

// Condition types of a KafkaLocalVolumeSet.
const (
	// ConditionReady is True while all volumes are available or bound.
	ConditionReady = "Ready"
	// ConditionPlacementComplete is True when every replica has a node.
	ConditionPlacementComplete = "PlacementComplete"
	// ConditionDirectoriesReady is True when the agents have prepared all directories.
	ConditionDirectoriesReady = "DirectoriesReady"
	// ConditionCapacityOK is True while the file systems have room for all reserved sizes.
	ConditionCapacityOK = "CapacityOK"
	// ConditionNodeLost is True while the Node of a replica does not exist.
	ConditionNodeLost = "NodeLost"
	// ConditionConflict is True while a directory, claim or PersistentVolume is used by something else.
	ConditionConflict = "Conflict"
	// ConditionClaimMismatch is True while a claim cannot bind, because its class, size or access modes differ.
	ConditionClaimMismatch = "ClaimMismatch"
)
