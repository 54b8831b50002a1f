package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GlusterVolume is the size of one persistent volume: a directory on a GlusterFS volume. gluster-bridge writes spec.
// Each quotad limits the directory on the bricks of its node and writes the entries of these bricks in status.
//
// +genclient
// +genclient:nonNamespaced
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=glustervolumes,scope=Cluster,shortName=gv
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Storage",type=string,JSONPath=`.spec.storage`
// +kubebuilder:printcolumn:name="Bytes",type=integer,JSONPath=`.spec.capacityBytes`
// +kubebuilder:printcolumn:name="Project",type=integer,JSONPath=`.spec.projectID`
// +kubebuilder:printcolumn:name="Enforced",type=string,JSONPath=`.status.conditions[?(@.type=="Enforced")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Enforced")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Path",type=string,priority=1,JSONPath=`.spec.path`
type GlusterVolume struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the desired size, written only by gluster-bridge.
	// +required
	Spec GlusterVolumeSpec `json:"spec"`

	// status is what each quotad and gluster-bridge observe.
	// +optional
	Status GlusterVolumeStatus `json:"status,omitempty,omitzero"`
}

// GlusterVolumeSpec is the desired size of a directory.
type GlusterVolumeSpec struct {
	// storage is the KadaluStorage, as <namespace>/<name>. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.storage cannot be changed"
	Storage string `json:"storage"`
	// volume is the name of the GlusterFS volume. Immutable.
	// +required
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_-]{1,255}$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.volume cannot be changed"
	Volume string `json:"volume"`
	// volumeID is the UUID of the GlusterFS volume, if known. Two clusters may have volumes of one name.
	// +optional
	// +kubebuilder:validation:MaxLength=36
	VolumeID string `json:"volumeID,omitempty"`
	// path of the directory, relative to the root of the GlusterFS volume. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && !self.matches('(^|/)[.][.]?(/|$)') && !self.contains('//')",messageExpression="'spec.path ' + self + ' must be a relative path without empty elements, . and ..'"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.path cannot be changed"
	Path string `json:"path"`
	// capacityBytes is the size of the directory in the whole volume. The limit of a brick follows from it and from the
	// type of the volume.
	// +required
	// +kubebuilder:validation:Minimum=1
	CapacityBytes int64 `json:"capacityBytes"`
	// projectID is the XFS project id on all bricks. Immutable.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967294
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.projectID cannot be changed"
	ProjectID int64 `json:"projectID"`
}

// GlusterVolumeStatus is what each quotad and gluster-bridge observe.
type GlusterVolumeStatus struct {
	// conditions: Enforced, written by gluster-bridge.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// bricks has one entry per brick, written by the quotad of the brick's node.
	// +optional
	// +listType=map
	// +listMapKey=node
	// +listMapKey=brick
	Bricks []BrickStatus `json:"bricks,omitempty"`
}

// BrickStatus is the limit of the directory on one brick.
type BrickStatus struct {
	// node is the UUID of the Gluster node, from glusterd.info.
	Node string `json:"node"`
	// brick is the brick's path on the node.
	Brick string `json:"brick"`
	// nodeName is the Kubernetes node whose quotad wrote the entry. It is empty if that quotad runs outside the cluster.
	// The pods of quotad can write only entries with the name of their own node.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName,omitempty"`
	// host is the host name of the brick, as in the brick list of the volume.
	// +optional
	Host string `json:"host,omitempty"`
	// state of the limit.
	State BrickState `json:"state"`
	// message explains the state, and what to do.
	// +optional
	Message string `json:"message,omitempty"`
	// limitBytes is the enforced limit on this brick: the capacity divided by the number of data bricks of a disperse
	// subvolume. It is 0 on arbiter bricks, which have no data.
	// +optional
	LimitBytes int64 `json:"limitBytes"`
	// usedBytes is the space that the directory used when the entry was last written.
	// +optional
	UsedBytes int64 `json:"usedBytes,omitempty"`
	// observedGeneration is the generation of the spec that this entry reflects.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}

// BrickState is the state of the limit on one brick.
type BrickState string

// States of a limit.
const (
	// BrickEnforced: the limit is set and was read back.
	BrickEnforced BrickState = "Enforced"
	// BrickWaiting: the directory does not exist on the brick yet.
	BrickWaiting BrickState = "Waiting"
	// BrickArbiter: the brick has no data and needs no limit.
	BrickArbiter BrickState = "Arbiter"
	// BrickUnsupported: the brick is not on XFS, or the file system is mounted without prjquota.
	BrickUnsupported BrickState = "Unsupported"
	// BrickRefused: the type of the volume, such as distribute or sharded, allows no exact limit.
	BrickRefused BrickState = "Refused"
	// BrickProjectInUse: the project id belongs to something else on this brick.
	BrickProjectInUse BrickState = "ProjectInUse"
	// BrickUnavailable: the brick is not mounted, read-only, or has I/O errors.
	BrickUnavailable BrickState = "Unavailable"
	// BrickFailed: a system call failed. quotad repeats it.
	BrickFailed BrickState = "Failed"
)

// ConditionEnforced of a GlusterVolume is True when every online brick enforces the limit of the current generation.
const ConditionEnforced = "Enforced"

// GlusterVolumeList is a list of GlusterVolumes.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type GlusterVolumeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []GlusterVolume `json:"items"`
}
