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
	// OneShotOffsets lists, alters or resets the connector's offsets.
	OneShotOffsets = "offsets"
)

// ManualRollingUpdate on a pod asks for the pod to be replaced in good order (Strimzi's annotation); its value is "true".
// Writer: drain-cleaner and people. Readers: Strimzi's operator for its pods, connect-scheduler for its own.
const ManualRollingUpdate = "strimzi.io/manual-rolling-update"

// Annotations on a KafkaConnector by which a person asks for something (Strimzi's words); connect-scheduler removes them when it is done.
// Writer: people. Reader: connect-scheduler.
const (
	// Restart asks for the connector's pod to be restarted; its value is "true".
	Restart = "strimzi.io/restart"
	// RestartTask asks for one task to be restarted; its value is the task's id.
	RestartTask = "strimzi.io/restart-task"
	// ConnectorOffsets asks for an operation on the connector's offsets: OffsetsList, OffsetsAlter or OffsetsReset.
	ConnectorOffsets = "strimzi.io/connector-offsets"

	OffsetsList  = "list"
	OffsetsAlter = "alter"
	OffsetsReset = "reset"
)
