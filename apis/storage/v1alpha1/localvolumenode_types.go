package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// LocalVolumeNode is the interface between volume-provisioner's controller and its agent on one node, and has the
// node's name. The agent creates it and writes status, the controller writes spec. Users only read it. It is kept when
// the Node is deleted, because it records which directories the node has.
//
// +genclient
// +genclient:nonNamespaced
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=localvolumenodes,scope=Cluster,shortName=lvn,categories=kafka
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Volumes",type=string,JSONPath=`.status.ready`,description="directories that are ready, of all directories"
// +kubebuilder:printcolumn:name="Available",type=string,JSONPath=`.status.available`,description="free space of the file systems"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type LocalVolumeNode struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the work of the agent, written only by volume-provisioner's controller.
	// +optional
	Spec LocalVolumeNodeSpec `json:"spec,omitempty,omitzero"`

	// status is what the agent observes, written only by the agent of this node.
	// +optional
	Status LocalVolumeNodeStatus `json:"status,omitempty,omitzero"`
}

// LocalVolumeNodeSpec is the work of the agent.
type LocalVolumeNodeSpec struct {
	// basePaths are the directories whose file systems the agent reports.
	// +optional
	// +listType=set
	BasePaths []string `json:"basePaths,omitempty"`
	// directories are the directories of volumes. The agent creates and checks them, and never deletes them.
	// +optional
	// +listType=atomic
	Directories []DirectorySpec `json:"directories,omitempty"`
	// wipes are the directories to delete, each requested by a VolumeWipe.
	// +optional
	// +listType=atomic
	Wipes []WipeSpec `json:"wipes,omitempty"`
}

// DirectorySpec is the directory of one volume.
type DirectorySpec struct {
	// id of the volume: <namespace>/<claim>. It is written to the marker file of the directory.
	ID string `json:"id"`
	// basePath is the directory that contains path.
	BasePath string `json:"basePath"`
	// path is relative to basePath.
	Path string `json:"path"`
	// setName is the name of the KafkaLocalVolumeSet; its namespace is part of id.
	SetName string `json:"setName"`
	// setUID is the uid of the KafkaLocalVolumeSet.
	SetUID types.UID `json:"setUID"`
	// ordinal of the replica.
	Ordinal int32 `json:"ordinal"`
	// adopt allows the agent to use a directory without a marker that is not empty.
	// +optional
	Adopt bool `json:"adopt,omitempty"`
	// create allows the agent to create the directory. It is false once the directory has existed: a directory that is
	// missing then is reported, and not replaced by an empty one.
	// +optional
	Create bool `json:"create,omitempty"`
	// machineID is the machine that has the directory, if known. Another machine with the same node name does not use it.
	// +optional
	MachineID string `json:"machineID,omitempty"`
	// fileSystem is the UUID of the file system that has the directory, if known.
	// +optional
	FileSystem string `json:"fileSystem,omitempty"`
	// bytes is the size of the volume.
	// +optional
	Bytes int64 `json:"bytes,omitempty"`
	// quota is the way the size is enforced.
	// +optional
	Quota QuotaType `json:"quota,omitempty"`
	// uid is the owner of a new directory.
	// +optional
	UID int64 `json:"uid,omitempty"`
	// gid is the group of a new directory.
	// +optional
	GID int64 `json:"gid,omitempty"`
	// mode of a new directory, in octal.
	// +optional
	Mode string `json:"mode,omitempty"`
}

// WipeSpec is the deletion of one directory.
type WipeSpec struct {
	// id is the uid of the VolumeWipe.
	ID types.UID `json:"id"`
	// basePath is the directory that contains path.
	BasePath string `json:"basePath"`
	// path is relative to basePath.
	Path string `json:"path"`
	// marker is the id that the marker file of the directory must have.
	Marker string `json:"marker"`
	// keepFor is the time for which the renamed directory is kept.
	// +optional
	KeepFor metav1.Duration `json:"keepFor,omitempty,omitzero"`
}

// LocalVolumeNodeStatus is what the agent observes.
type LocalVolumeNodeStatus struct {
	// observedGeneration is the generation of the spec that this status reflects.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// nodeUID is the uid of the Node object that the agent runs on.
	// +optional
	NodeUID types.UID `json:"nodeUID,omitempty"`
	// machineID of the node, from /etc/machine-id. Nodes that were cloned may have the same one; the UUIDs of their file
	// systems differ.
	// +optional
	MachineID string `json:"machineID,omitempty"`
	// allowedBasePaths are the base paths that the agent's --allowed-base-paths lists.
	// +optional
	// +listType=atomic
	AllowedBasePaths []string `json:"allowedBasePaths,omitempty"`
	// ready is the number of directories that are ready and the number of all directories, for example 3/3.
	// +optional
	Ready string `json:"ready,omitempty"`
	// available is the sum of the free space of all file systems, for example 512Gi.
	// +optional
	Available string `json:"available,omitempty"`
	// fileSystems are the file systems of the base paths.
	// +optional
	// +listType=atomic
	FileSystems []FileSystemStatus `json:"fileSystems,omitempty"`
	// directories are the observed directories.
	// +optional
	// +listType=atomic
	Directories []DirectoryStatus `json:"directories,omitempty"`
	// found are the directories with a marker that spec.directories does not list, up to three levels below a base path.
	// The controller recovers placements from them after the objects of the cluster were lost, or after a node was
	// renamed.
	// +optional
	// +listType=atomic
	Found []FoundDirectory `json:"found,omitempty"`
	// wipes are the observed deletions.
	// +optional
	// +listType=atomic
	Wipes []WipeStatus `json:"wipes,omitempty"`
}

// FileSystemStatus is the file system of one base path.
type FileSystemStatus struct {
	// basePath as in spec.basePaths.
	BasePath string `json:"basePath"`
	// state of the base path.
	State FileSystemState `json:"state"`
	// message explains the state, and what to do.
	// +optional
	Message string `json:"message,omitempty"`
	// type of the file system, for example xfs.
	// +optional
	Type string `json:"type,omitempty"`
	// id is the UUID of the file system, or its fsid if it has no UUID.
	// +optional
	ID string `json:"id,omitempty"`
	// mountPoint is true if basePath is a mount point.
	// +optional
	MountPoint bool `json:"mountPoint,omitempty"`
	// quota is true if the file system enforces project quota.
	// +optional
	Quota bool `json:"quota,omitempty"`
	// capacityBytes is the size of the file system.
	// +optional
	CapacityBytes int64 `json:"capacityBytes,omitempty"`
	// availableBytes is the free space. It is updated when it changes by more than one percent of the capacity, and when
	// it falls below two percent.
	// +optional
	AvailableBytes int64 `json:"availableBytes,omitempty"`
}

// FileSystemState is the state of a base path.
type FileSystemState string

// States of a base path.
const (
	// FileSystemReady: directories can be created.
	FileSystemReady FileSystemState = "Ready"
	// FileSystemNotAllowed: --allowed-base-paths of the agent does not list the base path.
	FileSystemNotAllowed FileSystemState = "NotAllowed"
	// FileSystemMissing: the base path does not exist.
	FileSystemMissing FileSystemState = "Missing"
	// FileSystemInvalid: the base path is a symbolic link or not a directory.
	FileSystemInvalid FileSystemState = "Invalid"
	// FileSystemNotMounted: the base path was a mount point and is not any more.
	FileSystemNotMounted FileSystemState = "NotMounted"
	// FileSystemChanged: the base path is on another file system than before.
	FileSystemChanged FileSystemState = "Changed"
	// FileSystemReadOnly: the file system is mounted read-only.
	FileSystemReadOnly FileSystemState = "ReadOnly"
	// FileSystemError: the file system reports I/O errors.
	FileSystemError FileSystemState = "IOError"
)

// DirectoryStatus is the observed directory of one volume.
type DirectoryStatus struct {
	// id as in spec.directories.
	ID string `json:"id"`
	// state of the directory.
	State DirectoryState `json:"state"`
	// message explains the state, and what to do.
	// +optional
	Message string `json:"message,omitempty"`
	// marker is the content of the marker file, if there is one.
	// +optional
	Marker *DirectoryMarker `json:"marker,omitempty"`
	// fileSystem is the UUID of the file system that has the directory.
	// +optional
	FileSystem string `json:"fileSystem,omitempty"`
	// limitBytes is the enforced quota. It is absent without quota.
	// +optional
	LimitBytes int64 `json:"limitBytes,omitempty"`
	// usedBytes is the space that the directory uses. Only with quota.
	// +optional
	UsedBytes int64 `json:"usedBytes,omitempty"`
}

// FoundDirectory is a directory with a marker that no entry of spec.directories names.
type FoundDirectory struct {
	// basePath is the base path that contains the directory.
	BasePath string `json:"basePath"`
	// path is relative to basePath.
	Path string `json:"path"`
	// marker is the content of the marker file.
	Marker DirectoryMarker `json:"marker"`
	// fileSystem is the UUID of the file system that has the directory.
	// +optional
	FileSystem string `json:"fileSystem,omitempty"`
}

// DirectoryMarker is the content of the marker file .volume-id, which tells whose data a directory has. A marker
// matches a volume if id and setName are equal: a set that is created again has another uid and gets its own
// directories back.
type DirectoryMarker struct {
	// id of the volume: <namespace>/<claim>.
	ID string `json:"id"`
	// setName is the name of the KafkaLocalVolumeSet.
	// +optional
	SetName string `json:"setName,omitempty"`
	// setUID is the uid of the KafkaLocalVolumeSet.
	// +optional
	SetUID types.UID `json:"setUID,omitempty"`
	// ordinal of the replica.
	// +optional
	Ordinal int32 `json:"ordinal"`
	// machineID of the node that created the directory.
	// +optional
	MachineID string `json:"machineID,omitempty"`
	// fileSystem is the UUID of the file system that the directory was created on.
	// +optional
	FileSystem string `json:"fileSystem,omitempty"`
	// created is the time at which the marker was written.
	// +optional
	Created metav1.Time `json:"created,omitempty,omitzero"`
}

// DirectoryState is the state of a directory.
type DirectoryState string

// States of a directory.
const (
	// DirectoryReady: the directory exists and its marker matches.
	DirectoryReady DirectoryState = "Ready"
	// DirectoryMissing: the directory existed before and does not exist any more.
	DirectoryMissing DirectoryState = "Missing"
	// DirectoryUnmarked: a directory exists that is not empty and has no marker, and adoption is not allowed.
	DirectoryUnmarked DirectoryState = "Unmarked"
	// DirectoryConflict: the marker names another volume.
	DirectoryConflict DirectoryState = "Conflict"
	// DirectoryWrongMachine: the directory is expected on another machine or file system.
	DirectoryWrongMachine DirectoryState = "WrongMachine"
	// DirectoryInvalid: the path or one of its elements is a symbolic link, a mount point or not a directory.
	DirectoryInvalid DirectoryState = "Invalid"
	// DirectoryFailed: the directory could not be created or read.
	DirectoryFailed DirectoryState = "Failed"
)

// WipeStatus is the observed deletion of one directory.
type WipeStatus struct {
	// id as in spec.wipes.
	ID types.UID `json:"id"`
	// state of the deletion.
	State WipeState `json:"state"`
	// message explains the state, and what to do.
	// +optional
	Message string `json:"message,omitempty"`
	// freedBytes is the space that was freed.
	// +optional
	FreedBytes int64 `json:"freedBytes,omitempty"`
}

// LocalVolumeNodeList is a list of LocalVolumeNodes.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type LocalVolumeNodeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []LocalVolumeNode `json:"items"`
}
