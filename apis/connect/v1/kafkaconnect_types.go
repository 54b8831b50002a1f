package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// KafkaConnect has the defaults of several KafkaConnectors, and one volume that they share. It runs nothing itself.
// KafkaConnectors refer to it in connectRef.
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

	// spec has the defaults and the shared volume.
	// +required
	Spec KafkaConnectSpec `json:"spec"`

	// status is the observed state. Only connect-scheduler writes it.
	// +optional
	Status KafkaConnectStatus `json:"status,omitempty,omitzero"`
}

// KafkaConnectSpec has the values of the fields that a KafkaConnector does not set.
type KafkaConnectSpec struct {
	// image runs connect-runner in the pods of connectors and tasks. connector.image and task.image take precedence.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule=`self.matches("^(([a-zA-Z0-9-]+([.][a-zA-Z0-9-]+)*|[[][0-9a-fA-F:]+[]])(:[0-9]+)?/)?[a-z0-9]+([.]|_|__|-+|[a-z0-9]+)*(/[a-z0-9]+([.]|_|__|-+|[a-z0-9]+)*)*(:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?(@[a-zA-Z][a-zA-Z0-9+._-]*:[0-9a-fA-F]{32,})?$")`,messageExpression=`"image '" + self + "' is not a valid reference; set it in the form registry/name:tag or registry/name@digest, in lower case and without spaces, for example ghcr.io/weir-dev/connect-runner:latest"`
	Image string `json:"image,omitempty"`

	// connector configures the pods of the connectors.
	// +optional
	Connector *WorkloadSpec `json:"connector,omitempty"`

	// task configures the pods of the tasks.
	// +optional
	Task *WorkloadSpec `json:"task,omitempty"`

	// workerConfigSecret names the Secret whose key worker.properties has the configuration of a Connect worker.
	// +optional
	WorkerConfigSecret *corev1.LocalObjectReference `json:"workerConfigSecret,omitempty"`

	// downloadPlugins are plugins of a Confluent Hub, in the form owner/plugin:version.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+:[A-Za-z0-9_.+-]+$`
	DownloadPlugins []string `json:"downloadPlugins,omitempty"`

	// plugins are Connect plugins that are mounted from images, or downloaded and verified.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Plugins []Plugin `json:"plugins,omitempty"`

	// loggingConfig sets the log levels and the log file.
	// +optional
	LoggingConfig *LoggingConfig `json:"loggingConfig,omitempty"`

	// imagePullPolicy of the images. Default: Always for the tag latest, else IfNotPresent.
	// +optional
	// +kubebuilder:validation:Enum=Always;Never;IfNotPresent
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// imagePullSecrets names the Secrets that are used to pull the images.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// maxUnavailable is the default of the connectors: the maximum number or percentage of their tasks that can be
	// unavailable during a rollout or a node drain.
	// +optional
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : self.matches('^([1-9][0-9]?|100)%$')",message="maxUnavailable must be a positive number or a percentage from 1% to 100%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`

	// storage requests one volume that is mounted in the pods of all connectors that refer to this KafkaConnect.
	// +optional
	Storage *StorageSpec `json:"storage,omitempty"`

	// template customizes the pods: metadata, scheduling, security context, volumes, environment and JVM options.
	// +optional
	Template *TemplateSpec `json:"template,omitempty"`
}

// KafkaConnectStatus is the observed state of a KafkaConnect.
type KafkaConnectStatus struct {
	// observedGeneration is the generation of the spec that this status reflects.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready, and StorageReady if there is a volume.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// connectors is the number of KafkaConnectors that refer to this KafkaConnect.
	// +optional
	Connectors int32 `json:"connectors"`

	// claim is the name of the PersistentVolumeClaim of the volume.
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
