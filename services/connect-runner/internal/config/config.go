// Package config reads connect-runner's flags, environment and files.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/log"
)

// Modes of connect-runner. Each is a subcommand.
const (
	ModeConnector = "connector"
	ModeTask      = "task"
	ModeValidate  = "validate"
	ModeOffsets   = "offsets"
)

// Config is the configuration of one run.
type Config struct {
	// Mode is the subcommand.
	Mode string
	// Name of the KafkaConnector. Default: CONNECTOR_NAME.
	Name string
	// Namespace of the pod; empty outside Kubernetes. Default: POD_NAMESPACE.
	Namespace string
	// Pod and Node are the names of the pod and its node (POD_NAME and NODE_NAME); empty outside Kubernetes.
	Pod, Node string
	// TaskID is the id of the task. Default: TASK_ID.
	TaskID string
	// TaskHashes are the expected hashes of all task configs; empty disables the check. Default: TASK_CONFIG_HASHES.
	TaskHashes string
	// Generation of the connector's configuration. Default: CONFIG_GENERATION.
	Generation string
	// Zone of the node; empty if unknown. Default: NODE_ZONE.
	Zone string
	// CompactTaskConfigs permits the compact format of the Secret (TASK_CONFIG_FORMAT=compact).
	CompactTaskConfigs bool

	// RunnerConfig, WorkerConfig, ConnectorConfig, TaskConfig and TaskCommon are the paths of the contract's files.
	RunnerConfig, WorkerConfig, ConnectorConfig, TaskConfig, TaskCommon string

	// PluginDir is the cache of downloaded plugins.
	PluginDir string
	// PluginPath lists directories with plugins that need no download.
	PluginPath []string
	// HubURL is the base URL of the Confluent Hub API.
	HubURL string
	// PluginMaxBytes is the maximum size of an archive. Its content may be four times as large.
	PluginMaxBytes int64

	// Java is the path of the java launcher.
	Java string
	// Lib is the directory with connect-runner's jars.
	Lib string
	// MemoryLimit in bytes overrides the cgroup's limit; 0 uses the cgroup's.
	MemoryLimit int64

	// MetricsAddress serves /healthz, /readyz and /metrics; empty disables the server.
	MetricsAddress string
	// TerminationLog is the file for the termination message.
	TerminationLog string
	// Grace is the time between the request to stop the JVM and SIGKILL. Default: derived from
	// TERMINATION_GRACE_PERIOD_SECONDS.
	Grace time.Duration
	// HeartbeatTimeout is the maximum age of the JVM's last heartbeat before /healthz fails.
	HeartbeatTimeout time.Duration
	// Log are the flags of the log.
	Log log.Options

	// PublishTo is a directory for the task configs; empty publishes to the Secret.
	PublishTo string
	// Kubeconfig replaces the pod's ServiceAccount.
	Kubeconfig string
	// ReconfigureDelay is the debounce interval for the connector's reconfiguration requests.
	ReconfigureDelay time.Duration
	// StaticMembership makes a sink task a static member of its consumer group.
	StaticMembership bool
	// SinkGroup is SinkGroupNamespaced or SinkGroupConnect.
	SinkGroup string
	// OffsetsTopic is the default of offset.storage.topic. Default: OFFSETS_TOPIC, else connect-offsets.
	OffsetsTopic string

	// OffsetsAction is list, alter, reset, fence or ActionRemoveMembers.
	OffsetsAction string
	// OffsetsFile contains the offsets to write.
	OffsetsFile string
	// FenceTasks is the number of tasks whose producers are fenced.
	FenceTasks int
	// RemainingTasks and PreviousTasks are the numbers of tasks after and before a scale-down.
	RemainingTasks, PreviousTasks int
	// Output is the file for the result of validate and offsets; empty is standard output.
	Output string
}

// ActionRemoveMembers is the OffsetsAction that removes the static members of a sink's previous tasks from its group.
const ActionRemoveMembers = "removeMembers"

// Naming schemes of a sink's consumer group.
const (
	// SinkGroupNamespaced is connect-<namespace>-<name>.
	SinkGroupNamespaced = "namespaced"
	// SinkGroupConnect is connect-<name>, as in Kafka Connect.
	SinkGroupConnect = "connect"
)

// topicName matches the names of Kafka topics.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// New returns the defaults of a mode. env looks up an environment variable.
func New(mode string, env func(string) string) *Config {
	java := "java"
	if home := env("JAVA_HOME"); home != "" {
		java = home + "/bin/java"
	}
	return &Config{
		Mode:       mode,
		Name:       env(contract.EnvConnector),
		Namespace:  env(contract.EnvNamespace),
		Pod:        env(contract.EnvPod),
		Node:       env(contract.EnvNode),
		TaskID:     env(contract.EnvTaskID),
		TaskHashes: env(contract.EnvTaskHashes),
		Generation: env(contract.EnvConfigGeneration),
		Zone:       env(contract.EnvZone),

		CompactTaskConfigs: env(contract.EnvTaskFormat) == contract.TaskFormatCompact,

		RunnerConfig:     contract.RunnerConfigFile,
		WorkerConfig:     contract.WorkerConfigFile,
		ConnectorConfig:  contract.ConnectorConfigFile,
		TaskConfig:       contract.TaskConfigFile,
		TaskCommon:       contract.TaskCommonFile,
		PluginDir:        contract.PluginDir,
		PluginPath:       []string{contract.PluginImageDir, "/usr/share/confluent-hub-components", "/usr/share/java"},
		HubURL:           "https://api.hub.confluent.io",
		PluginMaxBytes:   1 << 30,
		Java:             java,
		Lib:              "/opt/weir/runner/lib",
		MetricsAddress:   fmt.Sprintf(":%d", contract.RunnerPort),
		TerminationLog:   "/dev/termination-log",
		Grace:            grace(env(contract.EnvGracePeriod)),
		HeartbeatTimeout: time.Minute,
		Log:              log.Options{Level: "info", Format: "text"},
		ReconfigureDelay: 500 * time.Millisecond,
		StaticMembership: true,
		SinkGroup:        SinkGroupNamespaced,
		OffsetsTopic:     cmp.Or(env(contract.EnvOffsetsTopic), contract.DefaultOffsetsTopic),
	}
}

// Validate returns one error for every invalid flag. Each names the flag, its value and the fix.
func (c *Config) Validate() error {
	var errs []error
	if c.Name == "" {
		errs = append(errs, fmt.Errorf("--name (%s) is required", contract.EnvConnector))
	}
	if c.SinkGroup != SinkGroupNamespaced && c.SinkGroup != SinkGroupConnect {
		errs = append(errs, fmt.Errorf("--sink-group=%q: must be namespaced or connect", c.SinkGroup))
	}
	if !topicName.MatchString(c.OffsetsTopic) {
		errs = append(errs, fmt.Errorf("--offsets-topic=%q (%s): must be a topic: letters, digits, '.', '_' and '-'",
			c.OffsetsTopic, contract.EnvOffsetsTopic))
	}
	if u, err := url.Parse(c.HubURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		errs = append(errs, fmt.Errorf("--hub-url=%q: must be an http or https URL", c.HubURL))
	}
	for _, limit := range []struct {
		flag  string
		value int64
	}{
		{"--plugin-max-bytes", c.PluginMaxBytes},
		{"--grace", int64(c.Grace)},
		{"--heartbeat-timeout", int64(c.HeartbeatTimeout)},
	} {
		if limit.value <= 0 {
			errs = append(errs, fmt.Errorf("%s: must be more than 0", limit.flag))
		}
	}
	if c.Mode == ModeTask {
		if _, err := c.Task(); err != nil {
			errs = append(errs, err)
		}
	}
	if c.Mode == ModeConnector && c.PublishTo == "" && c.Namespace == "" {
		errs = append(errs, fmt.Errorf("--namespace (%s) is required; outside Kubernetes use --publish-to",
			contract.EnvNamespace))
	}
	if c.Mode == ModeOffsets {
		switch {
		case c.OffsetsAction == "alter" && c.OffsetsFile == "":
			errs = append(errs, errors.New("--offsets is required for alter"))
		case c.OffsetsAction == ActionRemoveMembers && (c.RemainingTasks < 0 || c.PreviousTasks <= c.RemainingTasks):
			errs = append(errs, fmt.Errorf("--previous-tasks=%d: must be more than --remaining-tasks=%d",
				c.PreviousTasks, c.RemainingTasks))
		case c.OffsetsAction == "fence" && c.FenceTasks <= 0:
			errs = append(errs, errors.New("--fence-tasks is required for fence"))
		}
	}
	return errors.Join(errs...)
}

// Task returns the id of the task.
func (c *Config) Task() (int, error) {
	id, err := strconv.Atoi(c.TaskID)
	if err != nil || id < 0 || strconv.Itoa(id) != c.TaskID {
		return 0, fmt.Errorf("--task-id=%q (%s): must be a decimal number, 0 or more", c.TaskID, contract.EnvTaskID)
	}
	return id, nil
}
