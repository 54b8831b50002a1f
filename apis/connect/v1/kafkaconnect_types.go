package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// KafkaConnect holds what several connectors have in common: defaults for their pods, and one volume
// that all of them share (seed 000). It runs nothing by itself.
//
// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=kafkaconnects,shortName=kcon,categories=kafka
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Connectors",type=integer,JSONPath=`.status.connectors`
// +kubebuilder:printcolumn:name="Claim",type=string,JSONPath=`.status.claim`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 50",message="metadata.name may have at most 50 characters: the claim data-<name>-connect and its labels must stay within 63"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name may hold only lower case letters, digits and '-'"
type KafkaConnect struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the connectors have in common.
	// +required
	Spec KafkaConnectSpec `json:"spec"`

	// status is what connect-scheduler sees; it is its only writer.
	// +optional
	Status KafkaConnectStatus `json:"status,omitempty,omitzero"`
}

// KafkaConnectSpec is what connectors that refer to it take where they leave it out.
type KafkaConnectSpec struct {
	// image that runs connect-runner, for connector and tasks where neither the connector nor `connector` or `task` here names one.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Image string `json:"image,omitempty"`

	// connector describes the connectors' pods.
	// +optional
	Connector *WorkloadSpec `json:"connector,omitempty"`

	// task describes the tasks' pods.
	// +optional
	Task *WorkloadSpec `json:"task,omitempty"`

	// workerConfigSecret names the Secret that holds worker.properties.
	// +optional
	WorkerConfigSecret *corev1.LocalObjectReference `json:"workerConfigSecret,omitempty"`

	// downloadPlugins are plugins of a Confluent Hub, as owner/plugin:version.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+:[A-Za-z0-9_.+-]+$`
	DownloadPlugins []string `json:"downloadPlugins,omitempty"`

	// plugins are mounted from images, or downloaded and verified.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Plugins []Plugin `json:"plugins,omitempty"`

	// loggingConfig sets the log levels.
	// +optional
	LoggingConfig *LoggingConfig `json:"loggingConfig,omitempty"`

	// imagePullPolicy of the images.
	// +optional
	// +kubebuilder:validation:Enum=Always;Never;IfNotPresent
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// imagePullSecrets are used to pull the images.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// maxUnavailable of the connectors that do not set their own.
	// +optional
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : self.matches('^([1-9][0-9]?|100)%$')",message="maxUnavailable must be a positive number or a percentage from 1% to 100%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`

	// storage asks for one volume that the pods of all connectors share.
	// +optional
	Storage *StorageSpec `json:"storage,omitempty"`

	// template customizes the pods.
	// +optional
	Template *TemplateSpec `json:"template,omitempty"`
}

// KafkaConnectStatus is what connect-scheduler sees.
type KafkaConnectStatus struct {
	// observedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready, and StorageReady where there is a volume.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// connectors is the number of KafkaConnectors that refer to this.
	// +optional
	Connectors int32 `json:"connectors"`

	// claim is the name of the volume's claim.
	// +optional
	Claim string `json:"claim,omitempty"`
}

// KafkaConnectList is a list of KafkaConnects.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type KafkaConnectList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KafkaConnect `json:"items"`
}
