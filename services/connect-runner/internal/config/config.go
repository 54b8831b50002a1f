// Package config holds what connect-runner is told by flags, environment and files.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/weir-dev/weir/apis/contract"
)

// Modes of connect-runner, one subcommand each.
const (
	ModeConnector = "connector"
	ModeTask      = "task"
	ModeValidate  = "validate"
	ModeOffsets   = "offsets"
)

// Config is all that connect-runner is told.
type Config struct {
	// Mode is the subcommand.
	Mode string
	// Name of the KafkaConnector. Default: CONNECTOR_NAME.
	Name string
	// Namespace of the pod; empty outside of Kubernetes. Default: POD_NAMESPACE.
	Namespace string
	// Pod and Node are the names of both, POD_NAME and NODE_NAME; empty outside of Kubernetes.
	Pod, Node string
	// TaskID of the task. Default: TASK_ID.
	TaskID string
	// TaskHashes that the task's file has to match; empty for no check. Default: TASK_CONFIG_HASHES.
	TaskHashes string
	// Generation of the connector's configuration. Default: CONFIG_GENERATION, else 0.
	Generation string
	// Zone of the node; empty when it is not known. Default: NODE_ZONE.
	Zone string

	// RunnerConfig, WorkerConfig, ConnectorConfig and TaskConfig are the paths of the contract's files.
	RunnerConfig, WorkerConfig, ConnectorConfig, TaskConfig string

	// PluginDir is where plugins are downloaded to and kept.
	PluginDir string
	// PluginPath are directories with plugins that need no download.
	PluginPath []string
	// HubURL is the address of the Confluent Hub's API.
	HubURL string
	// PluginMaxBytes is how large an archive may be, and four times that what it unpacks to.
	PluginMaxBytes int64

	// Java is the JVM's launcher.
	Java string
	// Lib is the directory with the runner's own jars.
	Lib string
	// MemoryLimit in bytes overrides what the cgroup says; 0 for the cgroup's.
	MemoryLimit int64

	// Address of the server for health and metrics; empty for none.
	Address string
	// TerminationLog is the file for the termination message.
	TerminationLog string
	// Grace is how long the JVM may take to stop before it is killed.
	Grace time.Duration
	// HeartbeatTimeout is how long the JVM may be silent before the process counts as dead.
	HeartbeatTimeout time.Duration
	// LogFormat is plain or json.
	LogFormat string

	// PublishTo is a directory that task configs are written to instead of a Secret.
	PublishTo string
	// Kubeconfig is used instead of the pod's ServiceAccount.
	Kubeconfig string
	// ReconfigureDelay is how long requests for new task configs are collected.
	ReconfigureDelay time.Duration
	// StaticMembership makes a sink's task a static member of its consumer group.
	StaticMembership bool
	// SinkGroup is namespaced or connect.
	SinkGroup string

	// OffsetsAction is list, alter, reset or fence.
	OffsetsAction string
	// OffsetsFile holds the offsets to write.
	OffsetsFile string
	// FenceTasks is the number of tasks whose producers are fenced.
	FenceTasks int
	// Output is a file for the result of validate and offsets; empty for standard output.
	Output string
}

// New returns the defaults, with what the environment says.
func New(mode string, env func(string) string) *Config {
	java := "java"
	if home := env("JAVA_HOME"); home != "" {
		java = home + "/bin/java"
	}
	return &Config{
		Mode:             mode,
		Name:             env(contract.EnvConnector),
		Namespace:        env(contract.EnvNamespace),
		Pod:              env(contract.EnvPod),
		Node:             env(contract.EnvNode),
		TaskID:           env(contract.EnvTaskID),
		TaskHashes:       env(contract.EnvTaskHashes),
		Generation:       env(contract.EnvConfigGeneration),
		Zone:             env(contract.EnvZone),
		RunnerConfig:     contract.RunnerConfigFile,
		WorkerConfig:     contract.WorkerConfigFile,
		ConnectorConfig:  contract.ConnectorConfigFile,
		TaskConfig:       contract.TaskConfigFile,
		PluginDir:        contract.PluginDir,
		PluginPath:       []string{contract.PluginImageDir, "/usr/share/confluent-hub-components", "/usr/share/java"},
		HubURL:           "https://api.hub.confluent.io",
		PluginMaxBytes:   1 << 30,
		Java:             java,
		Lib:              "/opt/weir/runner/lib",
		Address:          fmt.Sprintf(":%d", contract.RunnerPort),
		TerminationLog:   "/dev/termination-log",
		Grace:            57 * time.Second,
		HeartbeatTimeout: time.Minute,
		LogFormat:        "plain",
		ReconfigureDelay: 500 * time.Millisecond,
		StaticMembership: true,
		SinkGroup:        "namespaced",
	}
}

// AddFlags adds the flags of the mode.
func (c *Config) AddFlags(f *pflag.FlagSet) {
	f.StringVar(&c.Name, "name", c.Name, "name of the connector; default "+contract.EnvConnector)
	f.StringVar(&c.Namespace, "namespace", c.Namespace, "namespace of the pod; default "+contract.EnvNamespace)
	f.StringVar(&c.RunnerConfig, "runner-config", c.RunnerConfig, "file with plugins, log levels and JVM options; need not exist")
	f.StringVar(&c.WorkerConfig, "worker-config", c.WorkerConfig, "worker.properties")
	f.StringVar(&c.PluginDir, "plugin-dir", c.PluginDir, "directory that plugins are downloaded to and kept in")
	f.StringSliceVar(&c.PluginPath, "plugin-path", c.PluginPath, "directories with plugins; those that do not exist are left out")
	f.StringVar(&c.HubURL, "hub-url", c.HubURL, "address of a Confluent Hub's API, for downloadPlugins")
	f.Int64Var(&c.PluginMaxBytes, "plugin-max-bytes", c.PluginMaxBytes, "largest plugin archive; it may unpack to four times that")
	f.StringVar(&c.Java, "java", c.Java, "launcher of the JVM; default $JAVA_HOME/bin/java, else java")
	f.StringVar(&c.Lib, "lib", c.Lib, "directory with the jars of connect-runner")
	f.Int64Var(&c.MemoryLimit, "memory-limit", c.MemoryLimit, "bytes of memory that the JVM is fitted into; 0 for the limit of the cgroup")
	f.StringVar(&c.Address, "address", c.Address, "address of /healthz, /readyz and /metrics; empty for none")
	f.StringVar(&c.TerminationLog, "termination-log", c.TerminationLog, "file for the termination message")
	f.DurationVar(&c.Grace, "grace", c.Grace, "how long the JVM may take to stop before it is killed")
	f.DurationVar(&c.HeartbeatTimeout, "heartbeat-timeout", c.HeartbeatTimeout, "how long the JVM may be silent before /healthz fails")
	f.StringVar(&c.LogFormat, "log-format", c.LogFormat, "plain or json")
	f.StringVar(&c.SinkGroup, "sink-group", c.SinkGroup, "consumer group of sinks: namespaced (connect-<namespace>-<name>) or connect (connect-<name>)")
	switch c.Mode {
	case ModeTask:
		f.StringVar(&c.TaskConfig, "task-config", c.TaskConfig, "file with the task's configuration")
		f.StringVar(&c.TaskID, "task-id", c.TaskID, "id of the task; default "+contract.EnvTaskID)
		f.StringVar(&c.TaskHashes, "task-hashes", c.TaskHashes, "hashes of all task configs by id, separated by commas; empty for no check; default "+contract.EnvTaskHashes)
		f.StringVar(&c.Zone, "zone", c.Zone, "zone of the node, for client.rack of sinks; default "+contract.EnvZone)
		f.BoolVar(&c.StaticMembership, "static-membership", c.StaticMembership, "make a sink's task a static member of its consumer group")
	case ModeConnector:
		f.StringVar(&c.ConnectorConfig, "connector-config", c.ConnectorConfig, "file with the connector's configuration")
		f.StringVar(&c.Generation, "generation", c.Generation, "generation of the connector's configuration; default "+contract.EnvConfigGeneration)
		f.StringVar(&c.PublishTo, "publish-to", c.PublishTo, "directory for the task configs, instead of the Secret; for running without Kubernetes")
		f.StringVar(&c.Kubeconfig, "kubeconfig", c.Kubeconfig, "used instead of the pod's ServiceAccount")
		f.DurationVar(&c.ReconfigureDelay, "reconfigure-delay", c.ReconfigureDelay, "how long the connector's requests for new task configs are collected")
	case ModeValidate:
		f.StringVar(&c.ConnectorConfig, "connector-config", c.ConnectorConfig, "file with the connector's configuration")
		f.StringVar(&c.Output, "output", c.Output, "file for the result; default standard output")
	case ModeOffsets:
		f.StringVar(&c.ConnectorConfig, "connector-config", c.ConnectorConfig, "file with the connector's configuration")
		f.StringVar(&c.OffsetsFile, "offsets", c.OffsetsFile, "file with the offsets to write, in the form of Connect's REST API; for alter")
		f.IntVar(&c.FenceTasks, "fence-tasks", c.FenceTasks, "number of tasks whose producers are fenced first; for exactly-once sources")
		f.StringVar(&c.Output, "output", c.Output, "file for the result; default standard output")
	}
}

// Validate says what is wrong with the flags.
func (c *Config) Validate() error {
	var errs []error
	if c.Name == "" {
		errs = append(errs, fmt.Errorf("--name (%s) is required", contract.EnvConnector))
	}
	if c.LogFormat != "plain" && c.LogFormat != "json" {
		errs = append(errs, fmt.Errorf("--log-format %q: plain or json is wanted", c.LogFormat))
	}
	if c.SinkGroup != "namespaced" && c.SinkGroup != "connect" {
		errs = append(errs, fmt.Errorf("--sink-group %q: namespaced or connect is wanted", c.SinkGroup))
	}
	if u, err := url.Parse(c.HubURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		errs = append(errs, fmt.Errorf("--hub-url %q: an http or https address is wanted", c.HubURL))
	}
	for _, limit := range []struct {
		flag  string
		value int64
	}{
		{"--plugin-max-bytes", c.PluginMaxBytes}, {"--grace", int64(c.Grace)}, {"--heartbeat-timeout", int64(c.HeartbeatTimeout)},
	} {
		if limit.value <= 0 {
			errs = append(errs, fmt.Errorf("%s has to be more than 0", limit.flag))
		}
	}
	if c.Mode == ModeTask {
		if _, err := c.Task(); err != nil {
			errs = append(errs, err)
		}
	}
	if c.Mode == ModeConnector && c.PublishTo == "" && c.Namespace == "" {
		errs = append(errs, fmt.Errorf("--namespace (%s) is required, or --publish-to to run without Kubernetes", contract.EnvNamespace))
	}
	if c.Mode == ModeOffsets {
		switch {
		case c.OffsetsAction == "alter" && c.OffsetsFile == "":
			errs = append(errs, errors.New("--offsets is required to alter offsets"))
		case c.OffsetsAction == "fence" && c.FenceTasks <= 0:
			errs = append(errs, errors.New("--fence-tasks is required to fence tasks"))
		}
	}
	return errors.Join(errs...)
}

// Task is the id of the task.
func (c *Config) Task() (int, error) {
	id, err := strconv.Atoi(c.TaskID)
	if err != nil || id < 0 || strconv.Itoa(id) != c.TaskID {
		return 0, fmt.Errorf("--task-id (%s) %q: a whole number from 0 is wanted", contract.EnvTaskID, c.TaskID)
	}
	return id, nil
}

// ReadRunner reads the RunnerConfig; without a file there are only defaults.
func (c *Config) ReadRunner() (contract.RunnerConfig, error) {
	var runner contract.RunnerConfig
	file, err := os.ReadFile(c.RunnerConfig)
	if errors.Is(err, os.ErrNotExist) {
		return runner, nil
	}
	if err != nil {
		return runner, fmt.Errorf("read runner configuration: %w", err)
	}
	if err := json.Unmarshal(file, &runner); err != nil {
		return runner, fmt.Errorf("read runner configuration %s: %w", c.RunnerConfig, err)
	}
	runner.LogFile = c.ofPod(runner.LogFile)
	for i, option := range runner.JVMOptions {
		runner.JVMOptions[i] = c.ofPod(option)
	}
	return runner, nil
}

// ofPod replaces $(NAME), as Kubernetes writes it in arguments, by what is known of the pod; all else is left as it is. The files
// are the same for all pods of a kind, and their logs must not be.
func (c *Config) ofPod(text string) string {
	for _, known := range []struct{ name, value string }{
		{contract.EnvConnector, c.Name}, {contract.EnvNamespace, c.Namespace}, {contract.EnvPod, c.Pod}, {contract.EnvNode, c.Node}, {contract.EnvTaskID, c.TaskID},
	} {
		if known.value != "" {
			text = strings.ReplaceAll(text, "$("+known.name+")", known.value)
		}
	}
	return text
}

// CheckTask compares the mounted task config with the one that the pod was made for.
func (c *Config) CheckTask() error {
	id, err := c.Task()
	if err != nil {
		return err
	}
	file, err := os.ReadFile(c.TaskConfig)
	if err != nil {
		return fmt.Errorf("read the configuration of task %d: %w", id, err)
	}
	var task contract.TaskConfig
	if err := json.Unmarshal(file, &task); err != nil || task.Connector == nil || task.Task == nil {
		return fmt.Errorf("the configuration of task %d is torn: it is not a whole task config", id)
	}
	if c.TaskHashes == "" {
		return nil
	}
	hashes := strings.Split(c.TaskHashes, ",")
	if id >= len(hashes) {
		return fmt.Errorf("task %d is not one of the %d tasks that the pod was made for", id, len(hashes))
	}
	if got := contract.TaskConfigHash(file); got != hashes[id] {
		return fmt.Errorf("the mounted configuration of task %d has hash %s, the pod was made for %s", id, got, hashes[id])
	}
	return nil
}
