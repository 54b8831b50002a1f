package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// KadaluStorage describes a GlusterFS volume of an external cluster. gluster-bridge creates the StorageClass
// kadalu.external.<name> for it and provisions persistent volumes on it.
//
// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=kadalustorages,shortName=ks
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Volume",type=string,JSONPath=`.spec.details[0].gluster_volname`
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.status.volume.type`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Quota",type=string,JSONPath=`.status.conditions[?(@.type=="QuotaEnforced")].status`
// +kubebuilder:printcolumn:name="PVs",type=integer,JSONPath=`.status.persistentVolumes`
// +kubebuilder:printcolumn:name="Free",type=string,JSONPath=`.status.free`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type KadaluStorage struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec describes the storage.
	// +required
	Spec KadaluStorageSpec `json:"spec"`

	// status is the observed state, written only by gluster-bridge.
	// +optional
	Status KadaluStorageStatus `json:"status,omitempty,omitzero"`
}

// KadaluStorageSpec describes a GlusterFS volume and the layout of persistent volumes on it.
//
// +kubebuilder:validation:XValidation:rule="self.type == oldSelf.type",message="spec.type cannot be changed"
type KadaluStorageSpec struct {
	// type of the storage. gluster-bridge handles External. Other types belong to kadalu's operator.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Type string `json:"type"`

	// details of the GlusterFS volume: exactly one entry.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1
	Details []GlusterDetails `json:"details"`

	// kadalu-format: true (default) means that each persistent volume is a directory. false means that the whole GlusterFS
	// volume is one persistent volume.
	// +optional
	KadaluFormat *bool `json:"kadalu-format,omitempty"`

	// kadalu_format is kadalu's later spelling of kadalu-format: native or non-native.
	// +optional
	// +kubebuilder:validation:Enum=native;non-native
	KadaluFormatName string `json:"kadalu_format,omitempty"`

	// single_pv_per_pool: true means the same as kadalu-format: false.
	// +optional
	SinglePVPerPool *bool `json:"single_pv_per_pool,omitempty"`

	// pvReclaimPolicy is what happens to the data of a deleted persistent volume. delete: it is deleted. archive: its
	// directory is renamed to archived-<name>. retain: it stays.
	// +optional
	// +kubebuilder:default=delete
	// +kubebuilder:validation:Enum=delete;archive;retain
	PVReclaimPolicy ReclaimPolicy `json:"pvReclaimPolicy,omitempty"`

	// quota is the way sizes are enforced. Managed: a volume is ready when quotad reports the limit of every online brick
	// in its GlusterVolume. External: a volume is ready when statfs of each online brick shows the limit that a standalone
	// quotad sets. Unmanaged: sizes are not enforced, and no GlusterVolume is written. Default: Unmanaged until a quotad
	// has enforced a limit on the storage, then Managed.
	// +optional
	// +kubebuilder:validation:Enum=Managed;External;Unmanaged
	Quota QuotaMode `json:"quota,omitempty"`
}

// GlusterDetails is a GlusterFS volume and the hosts that serve its volfile.
type GlusterDetails struct {
	// gluster_node is the host that serves the volfile.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	GlusterNode string `json:"gluster_node,omitempty"`
	// gluster_nodes are more hosts that serve the volfile, used when gluster_node does not answer.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	GlusterNodes []string `json:"gluster_nodes,omitempty"`
	// gluster_hosts is kadalu's later spelling of gluster_nodes.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	GlusterHosts []string `json:"gluster_hosts,omitempty"`
	// gluster_port is the port of glusterd.
	// +optional
	// +kubebuilder:default=24007
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	GlusterPort int32 `json:"gluster_port,omitempty"`
	// gluster_volname is the name of the GlusterFS volume.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	GlusterVolname string `json:"gluster_volname"`
	// gluster_options are options of the FUSE client, separated by commas, for example log-level=DEBUG.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	GlusterOptions string `json:"gluster_options,omitempty"`
	// Gluster_options is another spelling of gluster_options.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	GlusterOptionsTitle string `json:"Gluster_options,omitempty"`
}

// ReclaimPolicy is what happens to the data of a deleted persistent volume.
type ReclaimPolicy string

// Reclaim policies.
const (
	// ReclaimDelete: the data is deleted.
	ReclaimDelete ReclaimPolicy = "delete"
	// ReclaimArchive: the directory is renamed to archived-<name>.
	ReclaimArchive ReclaimPolicy = "archive"
	// ReclaimRetain: the data stays.
	ReclaimRetain ReclaimPolicy = "retain"
)

// QuotaMode is the way sizes are enforced.
type QuotaMode string

// Quota modes.
const (
	// QuotaManaged: quotad reports limits in GlusterVolumes.
	QuotaManaged QuotaMode = "Managed"
	// QuotaExternal: a standalone quotad sets limits, and statfs shows them.
	QuotaExternal QuotaMode = "External"
	// QuotaUnmanaged: sizes are not enforced.
	QuotaUnmanaged QuotaMode = "Unmanaged"
)

// KadaluStorageStatus is the observed state of a storage.
type KadaluStorageStatus struct {
	// observedGeneration is the generation of the spec that this status reflects.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions: Ready, Reachable, Compatible and QuotaEnforced.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// storageClass is the name of the StorageClass of this storage.
	// +optional
	StorageClass string `json:"storageClass,omitempty"`
	// volume is the observed GlusterFS volume.
	// +optional
	Volume *GlusterVolumeInfo `json:"volume,omitempty"`
	// persistentVolumes is the number of persistent volumes on the storage.
	// +optional
	PersistentVolumes int32 `json:"persistentVolumes"`
	// capacityBytes is the size of the GlusterFS volume.
	// +optional
	CapacityBytes int64 `json:"capacityBytes,omitempty"`
	// provisionedBytes is the sum of the sizes of all persistent volumes.
	// +optional
	ProvisionedBytes int64 `json:"provisionedBytes,omitempty"`
	// free is the space that is not provisioned, for example 512Gi.
	// +optional
	Free string `json:"free,omitempty"`
	// quotaMode is the quota mode in effect.
	// +optional
	QuotaMode QuotaMode `json:"quotaMode,omitempty"`
}

// GlusterVolumeInfo is the observed GlusterFS volume.
type GlusterVolumeInfo struct {
	// id is the UUID of the volume.
	// +optional
	ID string `json:"id,omitempty"`
	// type of the volume, for example Replicate or Disperse.
	// +optional
	Type string `json:"type,omitempty"`
	// bricks are the bricks as host:path.
	// +optional
	// +listType=atomic
	Bricks []string `json:"bricks,omitempty"`
}

// Condition types of a KadaluStorage.
const (
	// ConditionReady is True while volumes can be provisioned.
	ConditionReady = "Ready"
	// ConditionReachable is True while a host of the storage serves the volume.
	ConditionReachable = "Reachable"
	// ConditionCompatible is True when the volume has no option or type that gluster-bridge cannot use.
	ConditionCompatible = "Compatible"
	// ConditionQuotaEnforced is True while the sizes of all persistent volumes are enforced.
	ConditionQuotaEnforced = "QuotaEnforced"
)

// KadaluStorageList is a list of KadaluStorages.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type KadaluStorageList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KadaluStorage `json:"items"`
}
