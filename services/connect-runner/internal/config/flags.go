package config

import (
	"github.com/spf13/pflag"

	"github.com/weir-dev/weir/apis/contract"
)

// AddFlags registers the flags of the mode.
func (c *Config) AddFlags(f *pflag.FlagSet) {
	f.StringVar(&c.Name, "name", c.Name, "name of the connector (env "+contract.EnvConnector+")")
	f.StringVar(&c.Namespace, "namespace", c.Namespace, "namespace of the pod (env "+contract.EnvNamespace+")")
	f.StringVar(&c.RunnerConfig, "runner-config", c.RunnerConfig,
		"file with plugins, log levels and JVM options; may be missing")
	f.StringVar(&c.WorkerConfig, "worker-config", c.WorkerConfig, "worker.properties")
	f.StringVar(&c.PluginDir, "plugin-dir", c.PluginDir, "directory that caches downloaded plugins")
	f.StringSliceVar(&c.PluginPath, "plugin-path", c.PluginPath, "directories with plugins; missing ones are skipped")
	f.StringVar(&c.HubURL, "hub-url", c.HubURL, "base URL of a Confluent Hub API, for downloadPlugins")
	f.Int64Var(&c.PluginMaxBytes, "plugin-max-bytes", c.PluginMaxBytes,
		"maximum size of a plugin archive; its content may be four times as large")
	f.StringVar(&c.Java, "java", c.Java, "java launcher (default $JAVA_HOME/bin/java, else java)")
	f.StringVar(&c.Lib, "lib", c.Lib, "directory with connect-runner's jars")
	f.Int64Var(&c.MemoryLimit, "memory-limit", c.MemoryLimit,
		"memory limit in bytes that -Xmx is derived from; 0 uses the limit of the cgroup")
	f.StringVar(&c.MetricsAddress, "metrics-address", c.MetricsAddress,
		"address that serves /metrics, /healthz and /readyz; empty for none")
	f.StringVar(&c.TerminationLog, "termination-log", c.TerminationLog, "file for the termination message")
	f.DurationVar(&c.Grace, "grace", c.Grace,
		"time between the request to stop the JVM and SIGKILL; the default leaves 3s of the pod's grace period (env "+
			contract.EnvGracePeriod+")")
	f.DurationVar(&c.HeartbeatTimeout, "heartbeat-timeout", c.HeartbeatTimeout,
		"maximum age of the JVM's last heartbeat before /healthz fails")
	f.StringVar(&c.SinkGroup, "sink-group", c.SinkGroup,
		"consumer group of sinks: namespaced (connect-<namespace>-<name>) or connect (connect-<name>)")
	f.StringVar(&c.OffsetsTopic, "offsets-topic", c.OffsetsTopic,
		"topic of source offsets if worker.properties does not set offset.storage.topic (env "+
			contract.EnvOffsetsTopic+")")
	c.Log.AddFlags(f)
	switch c.Mode {
	case ModeTask:
		c.addTaskFlags(f)
	case ModeConnector:
		c.addConnectorConfig(f)
		f.StringVar(&c.Generation, "generation", c.Generation,
			"generation of the connector's configuration (env "+contract.EnvConfigGeneration+")")
		f.StringVar(&c.PublishTo, "publish-to", c.PublishTo,
			"directory for the task configs instead of the Secret, for use without Kubernetes")
		f.StringVar(&c.Kubeconfig, "kubeconfig", c.Kubeconfig,
			"path of a kubeconfig; empty uses the pod's ServiceAccount")
		f.DurationVar(&c.ReconfigureDelay, "reconfigure-delay", c.ReconfigureDelay,
			"debounce interval for the connector's reconfiguration requests")
	case ModeValidate:
		c.addConnectorConfig(f)
		f.StringVar(&c.Output, "output", c.Output, "file for the result (default standard output)")
	case ModeOffsets:
		c.addConnectorConfig(f)
		if c.OffsetsAction == ActionRemoveMembers {
			f.IntVar(&c.RemainingTasks, "remaining-tasks", c.RemainingTasks, "number of tasks after the scale-down")
			f.IntVar(&c.PreviousTasks, "previous-tasks", c.PreviousTasks, "number of tasks before the scale-down")
		}
		f.StringVar(&c.OffsetsFile, "offsets", c.OffsetsFile,
			"file with the offsets to write, in the format of Connect's REST API; for alter")
		f.IntVar(&c.FenceTasks, "fence-tasks", c.FenceTasks,
			"number of tasks whose producers are fenced first; for exactly-once sources")
		f.StringVar(&c.Output, "output", c.Output, "file for the result (default standard output)")
	}
}

func (c *Config) addConnectorConfig(f *pflag.FlagSet) {
	f.StringVar(&c.ConnectorConfig, "connector-config", c.ConnectorConfig, "file with the connector's configuration")
}

func (c *Config) addTaskFlags(f *pflag.FlagSet) {
	f.StringVar(&c.TaskConfig, "task-config", c.TaskConfig, "file with the task's configuration")
	f.StringVar(&c.TaskCommon, "task-common", c.TaskCommon,
		"file with the common part of all task configs; may be missing")
	f.StringVar(&c.TaskID, "task-id", c.TaskID, "id of the task (env "+contract.EnvTaskID+")")
	f.StringVar(&c.TaskHashes, "task-hashes", c.TaskHashes,
		"expected hashes of all task configs by id, separated by commas; empty disables the check (env "+
			contract.EnvTaskHashes+")")
	f.StringVar(&c.Zone, "zone", c.Zone, "zone of the node, for client.rack of sinks (env "+contract.EnvZone+")")
	f.BoolVar(&c.StaticMembership, "static-membership", c.StaticMembership,
		"make a sink task a static member of its consumer group")
}
