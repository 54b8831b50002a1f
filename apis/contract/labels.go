package contract

// Labels on everything that Weir makes (Kubernetes' recommended labels).
const (
	LabelName      = "app.kubernetes.io/name"
	LabelInstance  = "app.kubernetes.io/instance"
	LabelComponent = "app.kubernetes.io/component"
	LabelPartOf    = "app.kubernetes.io/part-of"
	LabelManagedBy = "app.kubernetes.io/managed-by"

	// PartOf is the value of LabelPartOf.
	PartOf = "weir"
)

// Labels of the csid Connect operator on the pods of connectors and tasks.
// Writer: connect-scheduler. Readers: drain-cleaner, people.
const (
	// LabelConnector holds the name of the KafkaConnector.
	LabelConnector = "io.confluent.csid.connect.connector"
	// LabelType is TypeConnector, TypeTask or TypeOneShot.
	LabelType = "io.confluent.csid.connect.type"

	TypeConnector = "connector"
	TypeTask      = "task"
	// TypeOneShot is the type of a pod that runs one operation of connect-runner and ends; see LabelOneShot.
	TypeOneShot = "one-shot"
)

// LabelOneShot on a one-shot pod is the operation that the pod runs. Its container has the same name.
// Writer: connect-scheduler. Readers: connect-scheduler, users.
const (
	LabelOneShot = "weir.dev/one-shot"

	// OneShotValidate validates a new connectorConfig with the connector plugin.
	OneShotValidate = "validate"
	// OneShotFence fences the producers of the previous tasks of an exactly-once source.
	OneShotFence = "fence"
	// OneShotMembers removes the static members of tasks that a scale-down has deleted from the consumer group of a sink.
	OneShotMembers = "members"
	// OneShotOffsets lists, alters or resets the connector's offsets.
	OneShotOffsets = "offsets"
)

// ManualRollingUpdate on a pod requests a graceful replacement of the pod (Strimzi's annotation). Its value is "true".
// Writers: drain-cleaner and users. Readers: Strimzi's operator for its pods, connect-scheduler for its own.
const ManualRollingUpdate = "strimzi.io/manual-rolling-update"

// Annotations on a KafkaConnector with which users request operations (Strimzi's annotations). connect-scheduler
// removes them when the operation is done. Writer: users. Reader: connect-scheduler.
const (
	// Restart requests a restart of the connector's pod. The value "true" is removed when the restart is done. Any other
	// value, for example a timestamp, stays and restarts the pod once. "false" and an empty value have no effect.
	Restart = "strimzi.io/restart"
	// RestartTask requests a restart of one task. Its value is the id of the task.
	RestartTask = "strimzi.io/restart-task"
	// ConnectorOffsets requests an operation on the connector's offsets: OffsetsList, OffsetsAlter or OffsetsReset.
	ConnectorOffsets = "strimzi.io/connector-offsets"

	OffsetsList  = "list"
	OffsetsAlter = "alter"
	OffsetsReset = "reset"
)
