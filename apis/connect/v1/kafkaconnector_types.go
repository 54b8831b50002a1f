package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// KafkaConnector runs one Kafka Connect connector without Connect workers. The connector runs in the pod
// <name>-connector-0, and each task in its own pod <name>-tasks-<id>.
//
// +genclient
// +genclient:method=GetScale,verb=get,subresource=scale,result=k8s.io/api/autoscaling/v1.Scale
// +genclient:method=UpdateScale,verb=update,subresource=scale,input=k8s.io/api/autoscaling/v1.Scale,result=k8s.io/api/autoscaling/v1.Scale
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=kafkaconnectors,shortName=kctr,categories=kafka
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.tasksMax,statuspath=.status.tasksDesired,selectorpath=.status.selector
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`,description="Running, Degraded, Failed, Pending, Paused, Stopping or Stopped"
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

	// spec is the desired state of the connector.
	// +required
	Spec KafkaConnectorSpec `json:"spec"`

	// status is the observed state. Only connect-scheduler writes it.
	// +optional
	Status KafkaConnectorStatus `json:"status,omitempty,omitzero"`
}

// KafkaConnectorSpec is the desired state of a connector.
//
// +kubebuilder:validation:XValidation:rule="has(self.connectRef) || has(self.connector) && has(self.connector.image)",message="connector.image is required: name the image that runs connect-runner, or a KafkaConnect that has one in connectRef"
// +kubebuilder:validation:XValidation:rule="has(self.connectRef) || has(self.task) && has(self.task.image)",message="task.image is required: name the image that runs connect-runner, or a KafkaConnect that has one in connectRef"
// +kubebuilder:validation:XValidation:rule="has(self.connectRef) || has(self.workerConfigSecret) && has(self.workerConfigSecret.name) && self.workerConfigSecret.name.size() > 0",message="workerConfigSecret.name is required: name the Secret that holds worker.properties, or a KafkaConnect that has one in connectRef"
// +kubebuilder:validation:XValidation:rule="!(has(self.storage) && has(self.connectRef))",message="storage and connectRef exclude each other: the volume is that of the KafkaConnect"
type KafkaConnectorSpec struct {
	// connectRef names a KafkaConnect in the same namespace. It provides the defaults of all fields that are not set
	// here, and its volume is mounted in all pods. Excludes storage.
	// +optional
	ConnectRef *corev1.LocalObjectReference `json:"connectRef,omitempty"`

	// connector configures the connector's pod.
	// +optional
	Connector *WorkloadSpec `json:"connector,omitempty"`

	// task configures the pods of the tasks.
	// +optional
	Task *WorkloadSpec `json:"task,omitempty"`

	// connectorConfig is the configuration of the Kafka Connect connector, for example connector.class and tasks.max.
	// Placeholders of config providers, such as ${file:/path:key}, are resolved only in the pods.
	// +required
	// +kubebuilder:validation:MaxProperties=1024
	// +kubebuilder:validation:XValidation:rule="'connector.class' in self && self['connector.class'] != ''",message="connectorConfig needs connector.class, the class of the connector plugin"
	// +kubebuilder:validation:XValidation:rule="!('tasks.max' in self) || self['tasks.max'].matches('^0*([1-9][0-9]{0,2}|1000)$')",message="connectorConfig tasks.max must be a whole number from 1 to 1000; to run no tasks set state: paused"
	ConnectorConfig map[string]string `json:"connectorConfig"`

	// workerConfigSecret names the Secret whose key worker.properties has the configuration of a Connect worker:
	// bootstrap.servers, converters, security and so on. Required unless the KafkaConnect of connectRef sets it.
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

	// state is the desired state: running; paused (the connector runs, the tasks do not); stopped (neither runs). Task
	// configs and offsets are kept. Default: running.
	// +optional
	// +kubebuilder:default=running
	State ConnectorState `json:"state,omitempty"`

	// tasksMax overrides tasks.max of connectorConfig, from 1 to 1000. The scale subresource sets it, so kubectl scale
	// and autoscalers work.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= 1 && self <= 1000",message="tasksMax must be from 1 to 1000; to run no tasks set state: paused"
	TasksMax *int32 `json:"tasksMax,omitempty"`

	// maxUnavailable is the maximum number or percentage of tasks that can be unavailable during a rollout or a node
	// drain. A percentage is rounded up. Default: 25%.
	// +optional
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : self.matches('^([1-9][0-9]?|100)%$')",message="maxUnavailable must be a positive number or a percentage from 1% to 100%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`

	// storage requests one volume that is mounted in the pods of the connector and of all its tasks. Excludes
	// connectRef.
	// +optional
	Storage *StorageSpec `json:"storage,omitempty"`

	// template customizes the pods: metadata, scheduling, security context, volumes, environment and JVM options.
	// +optional
	Template *TemplateSpec `json:"template,omitempty"`

	// alterOffsets has the new offsets for the annotation strimzi.io/connector-offsets: alter.
	// +optional
	AlterOffsets *AlterOffsets `json:"alterOffsets,omitempty"`
}

// AlterOffsets refers to the new offsets of a connector.
type AlterOffsets struct {
	// fromConfigMap names the ConfigMap whose key offsets.json has the offsets, in the format of the Connect REST API
	// (KIP-875).
	// +required
	FromConfigMap corev1.LocalObjectReference `json:"fromConfigMap"`
}

// ConnectorState is the desired state of a connector and its tasks.
// +kubebuilder:validation:Enum=running;paused;stopped
type ConnectorState string

// Desired states of a connector.
const (
	// StateRunning runs the connector and its tasks.
	StateRunning ConnectorState = "running"
	// StatePaused keeps the connector and scales the tasks to zero.
	StatePaused ConnectorState = "paused"
	// StateStopped scales both to zero.
	StateStopped ConnectorState = "stopped"
)

// KafkaConnectorStatus is the observed state of a connector.
type KafkaConnectorStatus struct {
	// observedGeneration is the generation of the spec that this status reflects.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready, TaskConfigsPublished, Degraded, Paused, ConfigValid, and StorageReady if there is a
	// volume.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// state summarizes the conditions: Pending, Running, Degraded, Failed, Paused, Stopping or Stopped.
	// +optional
	State ConnectorPhase `json:"state,omitempty"`

	// connector is the state of the connector's pod.
	// +optional
	Connector *ConnectorStatus `json:"connector,omitempty"`

	// tasks has one entry for each task that is desired or still runs.
	// +optional
	// +listType=atomic
	Tasks []TaskStatus `json:"tasks,omitempty"`

	// tasksDesired is the number of tasks that should run.
	// +optional
	TasksDesired int32 `json:"tasksDesired"`

	// tasksReady is the number of tasks that are ready.
	// +optional
	TasksReady int32 `json:"tasksReady"`

	// taskSummary is tasksReady/tasksDesired, for example 2/3.
	// +optional
	TaskSummary string `json:"taskSummary,omitempty"`

	// restarts is the sum of the container restarts of the current pods.
	// +optional
	Restarts int32 `json:"restarts"`

	// offsets is the result of the last operation that the annotation strimzi.io/connector-offsets requested.
	// +optional
	Offsets *OffsetsStatus `json:"offsets,omitempty"`

	// defaultOffsetsTopic is the Kafka topic in which a source stores its offsets if worker.properties does not set
	// offset.storage.topic: connect-<namespace>-offsets, or connect-offsets for connectors that an older version of
	// connect-scheduler has started. It never changes.
	// +optional
	DefaultOffsetsTopic string `json:"defaultOffsetsTopic,omitempty"`

	// lastRestart is the last value of the annotation strimzi.io/restart that has restarted the connector's pod, or its
	// hash if it has more than 256 characters. The value true is not recorded.
	// +optional
	LastRestart string `json:"lastRestart,omitempty"`

	// restarting lists the pods that a rollout restarts now. They count against the limit of pods that restart at the same
	// time in the whole cluster (--max-restarting-pods of connect-scheduler), until the new pod is ready or for 10
	// minutes.
	// +optional
	// +listType=atomic
	Restarting []RestartingPod `json:"restarting,omitempty"`

	// selector is the label selector of the task pods. Autoscalers read it through the scale subresource.
	// +optional
	Selector string `json:"selector,omitempty"`
}

// ConnectorStatus is the state of the connector's pod.
type ConnectorStatus struct {
	// state is Pending, Starting, Running, Failed, Stopping or Absent.
	State PodState `json:"state"`
	// pod is the name of the pod.
	// +optional
	Pod string `json:"pod,omitempty"`
	// node is the name of the node that the pod runs on.
	// +optional
	Node string `json:"node,omitempty"`
	// restarts is the number of restarts of the container in this pod.
	// +optional
	Restarts int32 `json:"restarts"`
	// lastError is the reason and message of the last failed termination of the container.
	// +optional
	LastError string `json:"lastError,omitempty"`
}

// TaskStatus is the state of one task.
type TaskStatus struct {
	// id of the task, starting at 0.
	ID int32 `json:"id"`
	// state is Pending, Starting, Running, Failed, Stopping or Absent.
	State PodState `json:"state"`
	// pod is the name of the pod.
	// +optional
	Pod string `json:"pod,omitempty"`
	// node is the name of the node that the pod runs on.
	// +optional
	Node string `json:"node,omitempty"`
	// restarts is the number of restarts of the container in this pod.
	// +optional
	Restarts int32 `json:"restarts"`
	// lastError is the reason and message of the last failure of the task.
	// +optional
	LastError string `json:"lastError,omitempty"`
	// configHash is the hash of the task config that the pod runs.
	// +optional
	ConfigHash string `json:"configHash,omitempty"`
	// since is the time at which the task entered its state.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
}

// RestartingPod is a pod that a rollout restarts.
type RestartingPod struct {
	// pod is the name of the pod.
	Pod string `json:"pod"`
	// uid is the uid of the pod before the restart.
	UID types.UID `json:"uid"`
	// since is the time at which the pod began to count.
	Since metav1.Time `json:"since"`
}

// OffsetsStatus is the result of an operation on the offsets of a connector.
type OffsetsStatus struct {
	// operation is list, alter or reset.
	Operation string `json:"operation"`
	// state is WaitingForPods, Retrying, Canceled, Done, Failed or Refused.
	State OffsetsState `json:"state"`
	// message describes the result, or the reason of a failure.
	// +optional
	Message string `json:"message,omitempty"`
	// time at which the operation ended, or at which it began to wait.
	Time metav1.Time `json:"time"`
	// id identifies the run of the operation.
	// +optional
	ID string `json:"id,omitempty"`
	// offsets are the offsets that the operation list returned.
	// +optional
	// +listType=atomic
	Offsets []PartitionOffset `json:"offsets,omitempty"`
}

// PartitionOffset is the offset of one partition. Both fields are JSON in the format of the Connect REST API
// (KIP-875).
type PartitionOffset struct {
	// partition in the format of the connector, for example {"filename":"/a"}, or
	// {"kafka_topic":"t","kafka_partition":0} for a sink.
	Partition string `json:"partition"`
	// offset in the format of the connector.
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
