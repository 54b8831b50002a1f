package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// KafkaConnector runs one Kafka Connect connector without Connect workers: the connector in the pod
// `<name>-connector-0`, every task in a pod `<name>-tasks-<id>` of its own (seed 001).
//
// +genclient
// +genclient:method=GetScale,verb=get,subresource=scale,result=k8s.io/api/autoscaling/v1.Scale
// +genclient:method=UpdateScale,verb=update,subresource=scale,input=k8s.io/api/autoscaling/v1.Scale,result=k8s.io/api/autoscaling/v1.Scale
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=kafkaconnectors,shortName=kctr,categories=kafka
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.tasksMax,statuspath=.status.tasksDesired,selectorpath=.status.selector
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`,description="Running, Degraded, Failed, Pending, Paused or Stopped"
// +kubebuilder:printcolumn:name="Tasks",type=string,JSONPath=`.status.taskSummary`,description="ready tasks / tasks that the connector asked for"
// +kubebuilder:printcolumn:name="Restarts",type=integer,JSONPath=`.status.restarts`,description="container restarts of the pods that there are now"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Class",type=string,priority=1,JSONPath=`.spec.connectorConfig.connector\.class`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 42",message="metadata.name may have at most 42 characters: pods, labels and revisions get names derived from it that must stay within 63"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name may hold only lower case letters, digits and '-': it becomes the host name of pods"
// +kubebuilder:validation:XValidation:rule="!('name' in self.spec.connectorConfig) || self.spec.connectorConfig['name'] == self.metadata.name",message="connectorConfig.name must be the same as metadata.name, or left out"
type KafkaConnector struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the user wants.
	// +required
	Spec KafkaConnectorSpec `json:"spec"`

	// status is what connect-scheduler sees; it is its only writer.
	// +optional
	Status KafkaConnectorStatus `json:"status,omitempty,omitzero"`
}

// KafkaConnectorSpec is what the user wants of a connector.
//
// +kubebuilder:validation:XValidation:rule="has(self.connectRef) || has(self.connector) && has(self.connector.image)",message="connector.image is required: name the image that runs connect-runner, or a KafkaConnect that has one in connectRef"
// +kubebuilder:validation:XValidation:rule="has(self.connectRef) || has(self.task) && has(self.task.image)",message="task.image is required: name the image that runs connect-runner, or a KafkaConnect that has one in connectRef"
// +kubebuilder:validation:XValidation:rule="has(self.connectRef) || has(self.workerConfigSecret) && has(self.workerConfigSecret.name) && self.workerConfigSecret.name.size() > 0",message="workerConfigSecret.name is required: name the Secret that holds worker.properties, or a KafkaConnect that has one in connectRef"
// +kubebuilder:validation:XValidation:rule="!(has(self.storage) && has(self.connectRef))",message="storage and connectRef exclude each other: the volume is that of the KafkaConnect"
type KafkaConnectorSpec struct {
	// connectRef names a KafkaConnect of the same namespace that gives the defaults for everything left out here,
	// and whose volume the pods share.
	// +optional
	ConnectRef *corev1.LocalObjectReference `json:"connectRef,omitempty"`

	// connector describes the connector's pod.
	// +optional
	Connector *WorkloadSpec `json:"connector,omitempty"`

	// task describes the pods of the tasks.
	// +optional
	Task *WorkloadSpec `json:"task,omitempty"`

	// connectorConfig is the connector's configuration as Kafka Connect knows it, for example connector.class and tasks.max.
	// Placeholders of config providers, such as ${file:/path:key}, are resolved in the pods and nowhere else.
	// +required
	// +kubebuilder:validation:MaxProperties=1024
	// +kubebuilder:validation:XValidation:rule="'connector.class' in self && self['connector.class'] != ''",message="connectorConfig needs connector.class, the class of the connector plugin"
	// +kubebuilder:validation:XValidation:rule="!('tasks.max' in self) || self['tasks.max'].matches('^0*([1-9][0-9]{0,2}|1000)$')",message="connectorConfig tasks.max must be a whole number from 1 to 1000; to run no tasks set state: paused"
	ConnectorConfig map[string]string `json:"connectorConfig"`

	// workerConfigSecret names the Secret whose key worker.properties holds the configuration that a Connect worker would have:
	// bootstrap.servers, converters, security and so on.
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

	// imagePullPolicy of the images; Kubernetes' own default where it is left out.
	// +optional
	// +kubebuilder:validation:Enum=Always;Never;IfNotPresent
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// imagePullSecrets are used to pull the images.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// state is whether the connector runs: running; paused (no tasks, the connector stays); stopped (neither).
	// +optional
	// +kubebuilder:default=running
	State ConnectorState `json:"state,omitempty"`

	// tasksMax overrides tasks.max of connectorConfig; the scale subresource sets it.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= 1 && self <= 1000",message="tasksMax must be from 1 to 1000; to run no tasks set state: paused"
	TasksMax *int32 `json:"tasksMax,omitempty"`

	// maxUnavailable is how many tasks, or what part of them, may be down at once for a change or a node drain; 25%
	// (rounded up) where it is left out.
	// +optional
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : self.matches('^([1-9][0-9]?|100)%$')",message="maxUnavailable must be a positive number or a percentage from 1% to 100%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`

	// storage asks for one volume that the connector and all its tasks share (seed 000).
	// +optional
	Storage *StorageSpec `json:"storage,omitempty"`

	// template customizes the pods.
	// +optional
	Template *TemplateSpec `json:"template,omitempty"`

	// alterOffsets says what the annotation strimzi.io/connector-offsets: alter sets the offsets to (Strimzi's words).
	// +optional
	AlterOffsets *AlterOffsets `json:"alterOffsets,omitempty"`
}

// AlterOffsets names new offsets of a connector.
type AlterOffsets struct {
	// fromConfigMap names the ConfigMap whose key offsets.json holds the offsets, in the form of Connect's REST API (KIP-875).
	// +required
	FromConfigMap corev1.LocalObjectReference `json:"fromConfigMap"`
}

// ConnectorState is whether a connector and its tasks run.
// +kubebuilder:validation:Enum=running;paused;stopped
type ConnectorState string

// The states that a user can ask for.
const (
	// StateRunning runs the connector and its tasks.
	StateRunning ConnectorState = "running"
	// StatePaused keeps the connector and scales the tasks to zero.
	StatePaused ConnectorState = "paused"
	// StateStopped scales both to zero.
	StateStopped ConnectorState = "stopped"
)

// KafkaConnectorStatus is what connect-scheduler sees of a connector.
type KafkaConnectorStatus struct {
	// observedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready, TaskConfigsPublished, Degraded, Paused, ConfigValid, and StorageReady where there is a volume.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// state in one word: Pending, Running, Degraded, Failed, Paused or Stopped.
	// +optional
	State ConnectorPhase `json:"state,omitempty"`

	// connector is the connector's own pod.
	// +optional
	Connector *ConnectorStatus `json:"connector,omitempty"`

	// tasks, one for each task that the connector asked for or that still runs.
	// +optional
	// +listType=map
	// +listMapKey=id
	Tasks []TaskStatus `json:"tasks,omitempty"`

	// tasksDesired is the number of tasks that should run now.
	// +optional
	TasksDesired int32 `json:"tasksDesired"`

	// tasksReady is the number of tasks that are ready.
	// +optional
	TasksReady int32 `json:"tasksReady"`

	// taskSummary is tasksReady/tasksDesired, for people.
	// +optional
	TaskSummary string `json:"taskSummary,omitempty"`

	// restarts is the number of container restarts of all pods that there are now.
	// +optional
	Restarts int32 `json:"restarts"`

	// offsets is the outcome of the last operation that the annotation strimzi.io/connector-offsets asked for.
	// +optional
	Offsets *OffsetsStatus `json:"offsets,omitempty"`

	// selector finds the pods of the tasks; the scale subresource serves it to autoscalers.
	// +optional
	Selector string `json:"selector,omitempty"`
}

// ConnectorStatus is the state of the connector's pod.
type ConnectorStatus struct {
	// state: Pending, Starting, Running, Failed, Stopping or Absent.
	State PodState `json:"state"`
	// pod that runs it.
	// +optional
	Pod string `json:"pod,omitempty"`
	// node that the pod is on.
	// +optional
	Node string `json:"node,omitempty"`
	// restarts of the container in this pod.
	// +optional
	Restarts int32 `json:"restarts"`
	// lastError is what the container said when it last ended with an error.
	// +optional
	LastError string `json:"lastError,omitempty"`
}

// TaskStatus is the state of one task.
type TaskStatus struct {
	// id of the task, from 0.
	ID int32 `json:"id"`
	// state: Pending, Starting, Running, Failed, Stopping or Absent.
	State PodState `json:"state"`
	// pod that runs it.
	// +optional
	Pod string `json:"pod,omitempty"`
	// node that the pod is on.
	// +optional
	Node string `json:"node,omitempty"`
	// restarts of the container in this pod.
	// +optional
	Restarts int32 `json:"restarts"`
	// lastError is what the task said when it last failed.
	// +optional
	LastError string `json:"lastError,omitempty"`
	// configHash is the hash of the configuration that the pod runs with.
	// +optional
	ConfigHash string `json:"configHash,omitempty"`
	// since is when the task entered its state.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
}

// OffsetsStatus is the outcome of an operation on a connector's offsets.
type OffsetsStatus struct {
	// operation: list, alter or reset.
	Operation string `json:"operation"`
	// state: Done, Failed or Refused.
	State OffsetsState `json:"state"`
	// message says what was done, or why not.
	// +optional
	Message string `json:"message,omitempty"`
	// time at which the outcome was known.
	Time metav1.Time `json:"time"`
	// id of the run that this is the outcome of.
	// +optional
	ID string `json:"id,omitempty"`
	// offsets that list found.
	// +optional
	// +listType=atomic
	Offsets []PartitionOffset `json:"offsets,omitempty"`
}

// PartitionOffset is the offset of one partition, both as the JSON of Connect's REST API (KIP-875).
type PartitionOffset struct {
	// partition in the connector's own terms, for example {"filename":"/a"}, or {"kafka_topic":"t","kafka_partition":0} for a sink.
	Partition string `json:"partition"`
	// offset in the connector's own terms.
	Offset string `json:"offset"`
}

// KafkaConnectorList is a list of KafkaConnectors.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type KafkaConnectorList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KafkaConnector `json:"items"`
}
