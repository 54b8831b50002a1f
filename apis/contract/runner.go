package contract

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// The hand-over of task configs: the Secret `<connector>-tasks`.
// Writer: connect-runner in the connector's pod. Reader: connect-scheduler.
// Each task has one key, TaskConfigKey(id), that holds a TaskConfig.
const (
	// AnnotationGeneration on the Secret is the generation of the connector's configuration that the task configs
	// were computed from: the value of EnvConfigGeneration in the connector's pod.
	AnnotationGeneration = "weir.dev/config-generation"
	// AnnotationTaskCount on the Secret is the number of task configs; keys beyond it are leftovers.
	AnnotationTaskCount = "weir.dev/task-count"
	// AnnotationTaskConfigsHash on the Secret is TaskConfigsHash over all task configs, so that a torn write shows.
	AnnotationTaskConfigsHash = "weir.dev/task-configs-hash"
	// AnnotationExactlyOnce on the Secret is "true" for an exactly-once source: before its tasks may run with other configs, all
	// former ones have to be gone and fenced off.
	AnnotationExactlyOnce = "weir.dev/exactly-once"
)

// AnnotationTaskHashes on a task's pod lists TaskConfigHash of every task, by id, separated by commas: what the
// pod has to find in its own file before it starts.
// Writer: connect-scheduler. Reader: connect-runner in the task's pod, by way of EnvTaskHashes.
const AnnotationTaskHashes = "weir.dev/task-config-hashes"

// Environment of the container that runs connect-runner. Writer: connect-scheduler.
const (
	// EnvConnector is the name of the KafkaConnector.
	EnvConnector = "CONNECTOR_NAME"
	// EnvNamespace is the pod's namespace.
	EnvNamespace = "POD_NAMESPACE"
	// EnvPod is the pod's name.
	EnvPod = "POD_NAME"
	// EnvNode is the node that the pod runs on.
	EnvNode = "NODE_NAME"
	// EnvTaskID is the id of the task; in the connector's pod it is "connector".
	EnvTaskID = "TASK_ID"
	// EnvConfigGeneration is the generation of the connector's configuration; set in the connector's pod only.
	EnvConfigGeneration = "CONFIG_GENERATION"
	// EnvTaskHashes is the value of AnnotationTaskHashes; set in the tasks' pods only.
	EnvTaskHashes = "TASK_CONFIG_HASHES"
	// EnvZone is the zone of the node (the pod's label topology.kubernetes.io/zone, which Kubernetes copies from the node);
	// a sink's consumer fetches from replicas of the same zone. It may be empty or left out.
	EnvZone = "NODE_ZONE"
	// EnvGracePeriod is the pod's terminationGracePeriodSeconds, a decimal number. connect-runner derives its timeouts
	// from it, and assumes 60 if it is missing.
	EnvGracePeriod = "TERMINATION_GRACE_PERIOD_SECONDS"
)

// Files in the container that runs connect-runner. Writer: connect-scheduler.
const (
	// ConnectorConfigFile holds connectorConfig as a flat JSON object, with name and tasks.max; in the connector's pod only.
	ConnectorConfigFile = "/etc/weir/runner/connector.json"
	// RunnerConfigFile holds a RunnerConfig.
	RunnerConfigFile = "/etc/weir/runner/runner.json"
	// WorkerConfigFile is worker.properties of the worker Secret.
	WorkerConfigFile = "/etc/weir/worker/worker.properties"
	// TaskConfigFile holds the pod's own TaskConfig; in the tasks' pods only.
	TaskConfigFile = "/etc/weir/task/task.json"
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

// RunnerConfig is what connect-runner has to know beside the connector's and the worker's configuration. In LogFile and JVMOptions
// connect-runner replaces $(CONNECTOR_NAME), $(POD_NAMESPACE), $(POD_NAME), $(NODE_NAME) and $(TASK_ID) by those of its pod.
type RunnerConfig struct {
	// DefaultLoggerLevel and LoggerLevels are those of loggingConfig.
	DefaultLoggerLevel string            `json:"defaultLoggerLevel"`
	LoggerLevels       map[string]string `json:"loggerLevels,omitempty"`
	// LogFile is where the log goes as well as to standard output.
	LogFile string `json:"logFile,omitempty"`
	// DownloadPlugins are owner/plugin:version of a Confluent Hub.
	DownloadPlugins []string `json:"downloadPlugins,omitempty"`
	// Plugins are archives to download and verify.
	Plugins []PluginArchive `json:"plugins,omitempty"`
	// JVMOptions are put after connect-runner's own.
	JVMOptions []string `json:"jvmOptions,omitempty"`
}

// PluginArchive is an archive that connect-runner downloads into PluginDir.
type PluginArchive struct {
	Name   string `json:"name"`
	URL    string `json:"url"`
	SHA512 string `json:"sha512"`
}

// TaskConfig is all that a task needs to start: the connector's configuration and its own, both of the same generation.
// Placeholders of config providers are still placeholders in it. The connector's tasks.max is left out, so that a change
// of the number of tasks leaves the tasks that stay as they are.
type TaskConfig struct {
	Connector map[string]string `json:"connector"`
	Task      map[string]string `json:"task"`
}

// TaskConfigKey is the key of a task's config in the Secret `<connector>-tasks`.
func TaskConfigKey(id int) string { return fmt.Sprintf("task-%d.json", id) }

// ParseTaskConfigKey is the inverse of TaskConfigKey; ok is false for any other key.
func ParseTaskConfigKey(key string) (id int, ok bool) {
	digits, found := strings.CutPrefix(key, "task-")
	digits, suffix := strings.CutSuffix(digits, ".json")
	id, err := strconv.Atoi(digits)
	return id, found && suffix && err == nil && TaskConfigKey(id) == key
}

// TaskConfigHash identifies the content of a task's file: the first 8 bytes of its SHA-256 in hexadecimal.
func TaskConfigHash(file []byte) string {
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:8])
}

// TaskConfigsHash identifies a whole set of task configs, given their hashes by id.
func TaskConfigsHash(hashes []string) string {
	return TaskConfigHash([]byte(strings.Join(hashes, ",")))
}

// Termination is the one-line JSON by which connect-runner says why its container ended: its termination message.
// Writer: connect-runner. Reader: connect-scheduler.
type Termination struct {
	// Reason is a word in CamelCase, for example TaskFailed.
	Reason string `json:"reason"`
	// Message is one line for people, without secrets.
	Message string `json:"message"`
	// Result is what `connect-runner validate` (a ValidationResult) or `connect-runner offsets` (an OffsetsResult) found.
	// It is left out of the termination message where it does not fit into the 4096 bytes that Kubernetes keeps.
	Result json.RawMessage `json:"result,omitempty"`
}

// ValidationResult is what `connect-runner validate` found. Writer: connect-runner. Reader: connect-scheduler.
type ValidationResult struct {
	// Errors are the messages for each field that the connector, a converter, a transform or the client override policy
	// refuses. Messages are redacted; values are in none of them. Empty for a valid configuration.
	Errors map[string][]string `json:"errors"`
}

// OffsetsResult is what `connect-runner offsets` found or did. Writer: connect-runner. Reader: connect-scheduler.
type OffsetsResult struct {
	// Message says what was done; empty for list.
	Message string `json:"message,omitempty"`
	// Offsets are those of the connector, in the form of Connect's REST API; for list only.
	Offsets []ConnectorOffset `json:"offsets,omitempty"`
}

// ConnectorOffset is the offset of one partition, in the connector's own terms; sinks have kafka_topic, kafka_partition
// and kafka_offset.
type ConnectorOffset struct {
	Partition json.RawMessage `json:"partition"`
	// Offset is null for a partition that is to be reset.
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
	// ReasonWorkerConfigInvalid: worker.properties cannot be used.
	ReasonWorkerConfigInvalid = "WorkerConfigInvalid"
	// ReasonPluginInvalid: a plugin could not be fetched, verified, unpacked or found.
	ReasonPluginInvalid = "PluginInvalid"
	// ReasonTaskConfigsTooLarge: the task configs do not fit into one Secret.
	ReasonTaskConfigsTooLarge = "TaskConfigsTooLarge"
	// ReasonTaskConfigStale: the mounted task config is not the one that the pod was made for; the next start mounts it anew.
	ReasonTaskConfigStale = "TaskConfigStale"
	// ReasonKafkaUnreachable: no broker answered within the time limit.
	ReasonKafkaUnreachable = "KafkaUnreachable"
	// ReasonOutOfMemory: the JVM ran out of memory.
	ReasonOutOfMemory = "OutOfMemory"
	// ReasonOffsetsFailed: offsets could not be listed, altered, reset or fenced.
	ReasonOffsetsFailed = "OffsetsFailed"
	// ReasonCompleted: validate or offsets has done what it was asked; Result says with what outcome. The exit code is 0.
	ReasonCompleted = "Completed"
)

// ParseTermination reads a container's termination message; ok is false where it is not connect-runner's.
func ParseTermination(message string) (t Termination, ok bool) {
	err := json.Unmarshal([]byte(strings.TrimSpace(message)), &t)
	return t, err == nil && t.Reason != ""
}
