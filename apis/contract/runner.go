package contract

import (
	"encoding/json"
	"strings"
)

// The Secret `<connector>-tasks` passes task configs from the connector to connect-scheduler.
// Writer: connect-runner in the connector's pod. Reader: connect-scheduler.
// Each task has one key, TaskConfigKey(id), that holds a TaskConfig.
const (
	// AnnotationGeneration on the Secret is the generation of the connector's configuration that the task configs were
	// computed from: the value of EnvConfigGeneration in the connector's pod.
	AnnotationGeneration = "weir.dev/config-generation"
	// AnnotationTaskCount on the Secret is the number of task configs. Keys with higher ids are leftovers.
	AnnotationTaskCount = "weir.dev/task-count"
	// AnnotationTaskConfigsHash on the Secret is the TaskConfigsHash of all task configs. It detects inconsistent
	// changes.
	AnnotationTaskConfigsHash = "weir.dev/task-configs-hash"
	// AnnotationExactlyOnce on the Secret is "true" for an exactly-once source. Before its tasks may run with other
	// configs, all previous tasks must be deleted and fenced.
	AnnotationExactlyOnce = "weir.dev/exactly-once"
	// AnnotationConnectorType on the Secret is ConnectorTypeSink or ConnectorTypeSource. An image of connect-runner that
	// does not set it has no command `members remove`.
	AnnotationConnectorType = "weir.dev/connector-type"
)

// Values of AnnotationConnectorType.
const (
	ConnectorTypeSink   = "sink"
	ConnectorTypeSource = "source"
)

// AnnotationTaskHashes on a task's pod lists the hash of every task's config, by id, separated by commas. A task
// starts only if its mounted config has the expected hash. Writer: connect-scheduler. Reader: connect-runner in the
// task's pod, through EnvTaskHashes.
const AnnotationTaskHashes = "weir.dev/task-config-hashes"

// Environment of the container that runs connect-runner. Writer: connect-scheduler.
const (
	// EnvConnector is the name of the KafkaConnector.
	EnvConnector = "CONNECTOR_NAME"
	// EnvNamespace is the pod's namespace.
	EnvNamespace = "POD_NAMESPACE"
	// EnvPod is the pod's name.
	EnvPod = "POD_NAME"
	// EnvNode is the name of the pod's node.
	EnvNode = "NODE_NAME"
	// EnvTaskID is the id of the task. In the connector's pod it is "connector".
	EnvTaskID = "TASK_ID"
	// EnvConfigGeneration is the generation of the connector's configuration; set in the connector's pod only.
	EnvConfigGeneration = "CONFIG_GENERATION"
	// EnvTaskHashes is the value of AnnotationTaskHashes; set in the tasks' pods only.
	EnvTaskHashes = "TASK_CONFIG_HASHES"
	// EnvZone is the zone of the node: the pod's label topology.kubernetes.io/zone, which Kubernetes copies from the
	// node. A sink's consumer fetches from replicas in the same zone. It may be empty or missing.
	EnvZone = "NODE_ZONE"
	// EnvGracePeriod is the pod's terminationGracePeriodSeconds, a decimal number. connect-runner derives its timeouts
	// from it, and assumes 60 if it is missing.
	EnvGracePeriod = "TERMINATION_GRACE_PERIOD_SECONDS"
	// EnvOffsetsTopic is the topic of source offsets if worker.properties does not set offset.storage.topic. If it is
	// missing, the topic is DefaultOffsetsTopic.
	EnvOffsetsTopic = "OFFSETS_TOPIC"
	// EnvTaskFormat is TaskFormatCompact if the tasks' pods mount TaskCommonFile; connect-runner may then publish the
	// compact format. If it is missing, connect-runner publishes the plain format. Set in the connector's pod only.
	EnvTaskFormat = "TASK_CONFIG_FORMAT"
)

// DefaultOffsetsTopic is the topic of source offsets if neither worker.properties nor EnvOffsetsTopic sets one.
const DefaultOffsetsTopic = "connect-offsets"

// OffsetsTopic returns the default topic of source offsets of the connectors in a namespace. Offsets are stored under
// the name of the connector, so connectors of the same name in two namespaces must not share a topic.
func OffsetsTopic(namespace string) string { return "connect-" + namespace + "-offsets" }

// Files in the container that runs connect-runner. Writer: connect-scheduler.
const (
	// ConnectorConfigFile holds connectorConfig as a flat JSON object, with name and tasks.max; in the connector's pod
	// only.
	ConnectorConfigFile = "/etc/weir/runner/connector.json"
	// RunnerConfigFile holds a RunnerConfig.
	RunnerConfigFile = "/etc/weir/runner/runner.json"
	// WorkerConfigFile is worker.properties of the worker Secret.
	WorkerConfigFile = "/etc/weir/worker/worker.properties"
	// TaskConfigFile holds the pod's own TaskConfig; in the tasks' pods only.
	TaskConfigFile = "/etc/weir/task/task.json"
	// TaskCommonFile is the value of TaskCommonKey, in the tasks' pods only. It is missing if the Secret has no such
	// key: the volume's item is optional. It must not be a subPath mount, which would be a directory then.
	TaskCommonFile = "/etc/weir/task-common/" + TaskCommonKey
	// PluginDir is an empty directory for plugins that are downloaded; image volumes are mounted below PluginImageDir.
	PluginDir      = "/var/lib/weir/plugins"
	PluginImageDir = "/opt/weir/plugins"
)

// Ports of the container that runs connect-runner.
const (
	// RunnerPort serves /healthz, /readyz and /metrics.
	RunnerPort     = 8080
	RunnerPortName = "metrics"
)

// RunnerConfig is the configuration of connect-runner itself. In LogFile and JVMOptions connect-runner replaces
// $(CONNECTOR_NAME), $(POD_NAMESPACE), $(POD_NAME), $(NODE_NAME) and $(TASK_ID) by the values of its pod. It warns
// about unknown fields and refuses wrong types.
type RunnerConfig struct {
	// DefaultLoggerLevel and LoggerLevels are copied from loggingConfig.
	DefaultLoggerLevel string            `json:"defaultLoggerLevel"`
	LoggerLevels       map[string]string `json:"loggerLevels,omitempty"`
	// LogFile is a file for a copy of the log.
	LogFile string `json:"logFile,omitempty"`
	// DownloadPlugins are plugins of a Confluent Hub: owner/plugin:version.
	DownloadPlugins []string `json:"downloadPlugins,omitempty"`
	// Plugins are archives to download and verify.
	Plugins []PluginArchive `json:"plugins,omitempty"`
	// JVMOptions follow connect-runner's own options and override them.
	JVMOptions []string `json:"jvmOptions,omitempty"`
}

// PluginArchive is an archive that connect-runner downloads to PluginDir.
type PluginArchive struct {
	Name   string `json:"name"`
	URL    string `json:"url"`
	SHA512 string `json:"sha512"`
}

// Termination is the termination message of connect-runner's container, one line of JSON.
// Writer: connect-runner. Reader: connect-scheduler.
type Termination struct {
	// Reason is a word in CamelCase, for example TaskFailed.
	Reason string `json:"reason"`
	// Message is one line of text without secrets.
	Message string `json:"message"`
	// Result is a ValidationResult (`connect-runner validate`) or an OffsetsResult (`connect-runner offsets` and
	// `connect-runner members`). It is omitted if it does not fit into the 4096 bytes that Kubernetes keeps.
	Result json.RawMessage `json:"result,omitempty"`
}

// ValidationResult is the result of `connect-runner validate`. Writer: connect-runner. Reader: connect-scheduler.
type ValidationResult struct {
	// Errors are the messages for each field that the connector, a converter, a transform or the client override policy
	// refuses. Messages are redacted. Empty for a valid configuration.
	Errors map[string][]string `json:"errors"`
}

// OffsetsResult is the result of `connect-runner offsets` and `connect-runner members`.
// Writer: connect-runner. Reader: connect-scheduler.
type OffsetsResult struct {
	// Message describes the change; empty for list.
	Message string `json:"message,omitempty"`
	// Offsets are the connector's offsets in the format of Connect's REST API; for list only.
	Offsets []ConnectorOffset `json:"offsets,omitempty"`
}

// ConnectorOffset is the offset of one partition in the connector's own format. Sinks have kafka_topic,
// kafka_partition and kafka_offset.
type ConnectorOffset struct {
	Partition json.RawMessage `json:"partition"`
	// Offset is null to reset the partition.
	Offset json.RawMessage `json:"offset"`
}

// Reasons of a Termination.
const (
	// ReasonTaskFailed: the task threw an exception that Connect does not tolerate.
	ReasonTaskFailed = "TaskFailed"
	// ReasonConnectorFailed: the connector threw an exception or called raiseError.
	ReasonConnectorFailed = "ConnectorFailed"
	// ReasonConfigInvalid: the connector, a converter or a transform refused its configuration.
	ReasonConfigInvalid = "ConfigInvalid"
	// ReasonWorkerConfigInvalid: worker.properties is invalid.
	ReasonWorkerConfigInvalid = "WorkerConfigInvalid"
	// ReasonPluginInvalid: a plugin could not be downloaded, verified, unpacked or found.
	ReasonPluginInvalid = "PluginInvalid"
	// ReasonTaskConfigsTooLarge: the task configs do not fit into one Secret.
	ReasonTaskConfigsTooLarge = "TaskConfigsTooLarge"
	// ReasonTaskConfigStale: the mounted task config is not the one that the pod was created for. The next start mounts
	// it again. If it is a directory, the pod must be replaced.
	ReasonTaskConfigStale = "TaskConfigStale"
	// ReasonConnectorConfigStale: the mounted connector configuration is not the one that the pod was created for, also
	// after two minutes; the next start reads it again.
	ReasonConnectorConfigStale = "ConnectorConfigStale"
	// ReasonJVMStartFailed: the JVM did not start, for example because of an invalid option in jvmOptions.
	ReasonJVMStartFailed = "JVMStartFailed"
	// ReasonKafkaUnreachable: no broker responded within the time limit.
	ReasonKafkaUnreachable = "KafkaUnreachable"
	// ReasonOutOfMemory: the JVM ran out of memory.
	ReasonOutOfMemory = "OutOfMemory"
	// ReasonOffsetsFailed: offsets could not be listed, altered, reset or fenced, or members could not be removed.
	ReasonOffsetsFailed = "OffsetsFailed"
	// ReasonCompleted: validate, offsets or members has completed with exit code 0. Result is its result.
	ReasonCompleted = "Completed"
)

// ParseTermination parses a container's termination message. ok is false if connect-runner did not write it.
func ParseTermination(message string) (t Termination, ok bool) {
	err := json.Unmarshal([]byte(strings.TrimSpace(message)), &t)
	return t, err == nil && t.Reason != ""
}
