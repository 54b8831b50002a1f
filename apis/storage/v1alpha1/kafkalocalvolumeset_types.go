package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// KafkaLocalVolumeSet describes the local persistent volumes of the replicas of one or more StatefulSets.
// volume-provisioner places each replica on a node, creates its directories and one PersistentVolume per claim, and
// binds a claim that is created again to the same directory.
//
// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=kafkalocalvolumesets,shortName=klvs,categories=kafka
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas
// +kubebuilder:printcolumn:name="Replicas",type=integer,JSONPath=`.spec.replicas`
// +kubebuilder:printcolumn:name="Volumes",type=string,JSONPath=`.status.ready`,description="volumes that are ready, of all volumes"
// +kubebuilder:printcolumn:name="Bound",type=integer,JSONPath=`.status.bound`,description="volumes whose claim is bound"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Base-Path",type=string,priority=1,JSONPath=`.spec.basePath`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type KafkaLocalVolumeSet struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the desired set of volumes.
	// +required
	Spec KafkaLocalVolumeSetSpec `json:"spec"`

	// status is the observed state, written only by volume-provisioner.
	// +optional
	Status KafkaLocalVolumeSetStatus `json:"status,omitempty,omitzero"`
}

// KafkaLocalVolumeSetSpec is the desired set of volumes.
type KafkaLocalVolumeSetSpec struct {
	// replicas is the number of replicas. Replica i has the volumes of all templates with ordinal i; they are on one node.
	// With fewer replicas than before, the PersistentVolumes and directories of the higher ordinals are kept.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Replicas int32 `json:"replicas"`

	// templates describe the volumes of each replica: one per volumeClaimTemplate of the StatefulSets.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Templates []VolumeTemplate `json:"templates"`

	// nodes selects the nodes for the replicas. Default: all nodes that run the agent.
	// +optional
	Nodes *NodeChoice `json:"nodes,omitempty"`

	// nodeAffinityKey is the node label that the PersistentVolumes use in their node affinity. Its value must be unique
	// per node. Immutable.
	// +optional
	// +kubebuilder:default="kubernetes.io/hostname"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",messageExpression="'spec.nodeAffinityKey ' + oldSelf + ' cannot be changed: the node affinity of a PersistentVolume is immutable; create another set'"
	NodeAffinityKey string `json:"nodeAffinityKey,omitempty"`

	// spreadTopologyKey is the node label whose values the replicas are spread over, for example
	// topology.kubernetes.io/zone. Replicas that are placed do not move when it changes.
	// +optional
	// +kubebuilder:default="kubernetes.io/hostname"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	SpreadTopologyKey string `json:"spreadTopologyKey,omitempty"`

	// basePath is the directory on each node that contains the directories of the volumes. It must exist, must be one of
	// the paths that the administrator allows with --allowed-base-paths, and must not be a symbolic link. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^(/[^/]+)+$') && !self.matches('(^|/)[.][.]?(/|$)')",messageExpression="'spec.basePath ' + self + ' must be an absolute path other than /, without . or .. and without a trailing slash: use for example /mnt/data'"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",messageExpression="'spec.basePath ' + oldSelf + ' cannot be changed: the data would stay behind; create another set'"
	BasePath string `json:"basePath"`

	// pathPattern is the directory of a volume below basePath. {claim} and {namespace} are replaced. It must contain
	// {claim}. Immutable.
	// +optional
	// +kubebuilder:default="{claim}"
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.contains('{claim}')",messageExpression="'spec.pathPattern ' + self + ' does not contain {claim}: two volumes would share a directory; use {claim} or {namespace}/{claim}'"
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-zA-Z0-9_-]|[{]claim[}]|[{]namespace[}])([a-zA-Z0-9._-]|[{]claim[}]|[{]namespace[}])*(/([a-zA-Z0-9_-]|[{]claim[}]|[{]namespace[}])([a-zA-Z0-9._-]|[{]claim[}]|[{]namespace[}])*)*$')",messageExpression="'spec.pathPattern ' + self + ' must be a relative path of letters, digits, - _ . and the variables {claim} and {namespace}, and no element may start with a dot'"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",messageExpression="'spec.pathPattern ' + oldSelf + ' cannot be changed: the data would stay behind; create another set'"
	PathPattern string `json:"pathPattern,omitempty"`

	// storageClassName is the class of the PersistentVolumes. The claims must have the same class. Immutable.
	// +optional
	// +kubebuilder:default="local-storage"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",messageExpression="'spec.storageClassName ' + oldSelf + ' cannot be changed: create another set'"
	StorageClassName string `json:"storageClassName,omitempty"`

	// mountOptions of the PersistentVolumes. The kubelet passes them to mount.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	MountOptions []string `json:"mountOptions,omitempty"`

	// owner of a new directory. Directories that exist keep their owner and mode.
	// +optional
	Owner *DirectoryOwner `json:"owner,omitempty"`

	// quota limits the size of each directory. None: sizes are reserved but not enforced. XFS: project quota; basePath
	// must be on XFS that is mounted with prjquota, and the agent needs the overlay with CAP_SYS_ADMIN.
	// +optional
	// +kubebuilder:default=None
	Quota QuotaType `json:"quota,omitempty"`

	// reservedPercent is the part of each file system that is not given to volumes.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=90
	ReservedPercent *int32 `json:"reservedPercent,omitempty"`

	// reusePolicy is what happens with a PersistentVolume whose claim was deleted. Automatic: a new claim of the same name
	// binds to it. Manual: it binds after the user sets the annotation storage.weir.dev/allow-reuse on the
	// PersistentVolume to the uid of the deleted claim. Never: it stays Released.
	// +optional
	// +kubebuilder:default=Automatic
	ReusePolicy ReusePolicy `json:"reusePolicy,omitempty"`

	// adoptExisting decides about directories that exist before the set. IfMarkerMatches: only a directory with the marker
	// of the same volume is used. Unmarked: a directory without a marker is used too, and gets one; for directories made
	// by hand.
	// +optional
	// +kubebuilder:default=IfMarkerMatches
	AdoptExisting AdoptionPolicy `json:"adoptExisting,omitempty"`

	// scaleDownPolicy is what happens with the volumes of ordinals that are not part of the set any more. Retain is the
	// only policy: they are kept, and used again after a scale-up.
	// +optional
	// +kubebuilder:default=Retain
	ScaleDownPolicy ScaleDownPolicy `json:"scaleDownPolicy,omitempty"`

	// nodeLoss decides what happens when the Node of a replica no longer exists.
	// +optional
	NodeLoss *NodeLossPolicy `json:"nodeLoss,omitempty"`
}

// VolumeTemplate describes one volume of each replica.
type VolumeTemplate struct {
	// name of the template, unique in the set.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// claimNamePattern is the name of the PersistentVolumeClaim. {ordinal} is replaced, for example
	// datadir-0-cp-helm-charts-cp-kafka-{ordinal}: the name of the volumeClaimTemplate, of the StatefulSet, and the
	// ordinal. Immutable.
	// +required
	// +kubebuilder:validation:MaxLength=240
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*)[{]ordinal[}]([-a-z0-9.]*[a-z0-9])?$') || self.matches('^[{]ordinal[}]([-a-z0-9.]*[a-z0-9])?$')",messageExpression="'spec.templates[].claimNamePattern ' + self + ' must be the name of a PersistentVolumeClaim that contains {ordinal} once: use for example data-kafka-{ordinal}'"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",messageExpression="'spec.templates[].claimNamePattern ' + oldSelf + ' cannot be changed: add another template'"
	ClaimNamePattern string `json:"claimNamePattern"`

	// size of the volume. It may grow. A larger size is applied to the PersistentVolumes, and to claims of a class with
	// allowVolumeExpansion that ask for it.
	// +required
	Size resource.Quantity `json:"size"`

	// accessModes of the PersistentVolumes.
	// +optional
	// +listType=set
	// +kubebuilder:default={"ReadWriteOnce"}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:Enum=ReadWriteOnce;ReadOnlyMany;ReadWriteMany;ReadWriteOncePod
	AccessModes []corev1.PersistentVolumeAccessMode `json:"accessModes,omitempty"`

	// volumeMode of the PersistentVolumes. Directories are always Filesystem.
	// +optional
	// +kubebuilder:default=Filesystem
	// +kubebuilder:validation:Enum=Filesystem
	VolumeMode corev1.PersistentVolumeMode `json:"volumeMode,omitempty"`
}

// NodeChoice selects nodes. Exactly one field is set.
//
// +kubebuilder:validation:XValidation:rule="[has(self.selector), has(self.list), has(self.perReplica)].filter(x, x).size() == 1",message="spec.nodes must set exactly one of selector, list and perReplica"
type NodeChoice struct {
	// selector selects nodes by label. Replicas are spread over them.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
	// list has the names of the nodes. Replicas are spread over them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	List []string `json:"list,omitempty"`
	// perReplica has the name of the node of each replica, by ordinal. A node may appear several times.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	PerReplica []string `json:"perReplica,omitempty"`
}

// DirectoryOwner is the owner and the mode of a new directory.
type DirectoryOwner struct {
	// uid of the owner. Default 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	UID *int64 `json:"uid,omitempty"`
	// fsGroup is the group of the directory. Default 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	FSGroup *int64 `json:"fsGroup,omitempty"`
	// mode of the directory in octal.
	// +optional
	// +kubebuilder:default="0770"
	// +kubebuilder:validation:MaxLength=4
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-2]?[0-7]{3}$')",messageExpression="'spec.owner.mode ' + self + ' must be an octal mode: use for example 0770'"
	Mode string `json:"mode,omitempty"`
}

// QuotaType is the way the size of a directory is enforced.
//
// +kubebuilder:validation:Enum=None;XFS
type QuotaType string

// Types of quota.
const (
	// QuotaNone: sizes are reserved but not enforced.
	QuotaNone QuotaType = "None"
	// QuotaXFS: XFS project quota.
	QuotaXFS QuotaType = "XFS"
)

// ReusePolicy decides whether a released volume binds to a new claim.
//
// +kubebuilder:validation:Enum=Automatic;Manual;Never
type ReusePolicy string

// Policies for released volumes.
const (
	// ReuseAutomatic: a new claim of the same name binds.
	ReuseAutomatic ReusePolicy = "Automatic"
	// ReuseManual: a new claim binds after the user allows it with an annotation.
	ReuseManual ReusePolicy = "Manual"
	// ReuseNever: the volume stays Released.
	ReuseNever ReusePolicy = "Never"
)

// AdoptionPolicy decides about directories that exist before the set.
//
// +kubebuilder:validation:Enum=IfMarkerMatches;Unmarked
type AdoptionPolicy string

// Policies for directories that exist.
const (
	// AdoptIfMarkerMatches: a directory is used if its marker names the same volume.
	AdoptIfMarkerMatches AdoptionPolicy = "IfMarkerMatches"
	// AdoptUnmarked: a directory without a marker is used too.
	AdoptUnmarked AdoptionPolicy = "Unmarked"
)

// ScaleDownPolicy decides about the volumes of removed replicas.
//
// +kubebuilder:validation:Enum=Retain
type ScaleDownPolicy string

// ScaleDownRetain keeps the volumes of removed replicas.
const ScaleDownRetain ScaleDownPolicy = "Retain"

// NodeLossPolicy decides what happens when the Node of a replica no longer exists.
//
// +kubebuilder:validation:XValidation:rule="self.policy != 'Replace' || has(self.after)",message="spec.nodeLoss.after is required with policy Replace: set for example 30m"
// +kubebuilder:validation:XValidation:rule="self.policy == 'Replace' || !has(self.after)",message="spec.nodeLoss.after requires policy Replace: remove it"
type NodeLossPolicy struct {
	// policy is Wait (the volumes stay on the node) or Replace (after the time in after, the replica gets empty volumes on
	// another node; one replica at a time, and only while the volumes of all other replicas are ready and in use).
	// +required
	// +kubebuilder:validation:Enum=Wait;Replace
	Policy NodeLossAction `json:"policy"`
	// after is the time that the Node must have been gone, for example 30m. At least 5m.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= duration('5m')",message="spec.nodeLoss.after must be at least 5m"
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	After *metav1.Duration `json:"after,omitempty"`
}

// NodeLossAction is the action after the loss of a node.
type NodeLossAction string

// Actions after the loss of a node.
const (
	// NodeLossWait: the volumes stay on the node.
	NodeLossWait NodeLossAction = "Wait"
	// NodeLossReplace: the replica gets empty volumes on another node.
	NodeLossReplace NodeLossAction = "Replace"
)

// KafkaLocalVolumeSetList is a list of KafkaLocalVolumeSets.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type KafkaLocalVolumeSetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KafkaLocalVolumeSet `json:"items"`
}
