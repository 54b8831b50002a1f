package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// VolumeWipe requests the deletion of the data of one volume of a KafkaLocalVolumeSet in the same namespace. The data
// is deleted only while no claim is bound to the volume and no pod uses it. The directory is renamed first, and removed
// after the time in keepFor. A VolumeWipe cannot be changed.
//
// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=volumewipes,shortName=vw,categories=kafka
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="PV",type=string,JSONPath=`.spec.pv`
// +kubebuilder:printcolumn:name="Path",type=string,JSONPath=`.spec.path`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.message`
type VolumeWipe struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec names the data to delete.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec of a VolumeWipe cannot be changed: create another VolumeWipe"
	Spec VolumeWipeSpec `json:"spec"`

	// status is the observed state, written only by volume-provisioner.
	// +optional
	Status VolumeWipeStatus `json:"status,omitempty,omitzero"`
}

// VolumeWipeSpec names the data to delete. All fields must match the volume, so that a mistake deletes nothing.
type VolumeWipeSpec struct {
	// pv is the name of the PersistentVolume.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	PV string `json:"pv"`
	// pvUID is the uid of the PersistentVolume.
	// +required
	PVUID types.UID `json:"pvUID"`
	// path is the directory, as in spec.local.path of the PersistentVolume.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=4096
	Path string `json:"path"`
	// keepFor is the time for which the renamed directory can still be recovered.
	// +optional
	// +kubebuilder:default="0s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	KeepFor metav1.Duration `json:"keepFor,omitempty,omitzero"`
}

// VolumeWipeStatus is the observed state of a VolumeWipe.
type VolumeWipeStatus struct {
	// state of the deletion.
	// +optional
	State WipeState `json:"state,omitempty"`
	// message explains the state, and what to do.
	// +optional
	Message string `json:"message,omitempty"`
	// node that has the directory.
	// +optional
	Node string `json:"node,omitempty"`
	// freedBytes is the space that was freed.
	// +optional
	FreedBytes int64 `json:"freedBytes,omitempty"`
	// completionTime is the time at which the data was deleted.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
}

// WipeState is the state of a deletion.
type WipeState string

// States of a deletion.
const (
	// WipePending: the volume is still in use, or its node is unavailable.
	WipePending WipeState = "Pending"
	// WipeRefused: the spec does not match a volume of a set in this namespace. Nothing is deleted.
	WipeRefused WipeState = "Refused"
	// WipeAccepted: the spec matches. The PersistentVolume is deleted first, so that no claim binds to it, and then the
	// agent deletes the directory.
	WipeAccepted WipeState = "Accepted"
	// WipeMoved: the directory is renamed and can still be recovered.
	WipeMoved WipeState = "Moved"
	// WipeDone: the data is deleted.
	WipeDone WipeState = "Done"
	// WipeFailed: the deletion failed and is repeated.
	WipeFailed WipeState = "Failed"
)

// VolumeWipeList is a list of VolumeWipes.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type VolumeWipeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VolumeWipe `json:"items"`
}
