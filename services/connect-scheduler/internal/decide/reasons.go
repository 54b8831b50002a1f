package decide

// Condition types of a KafkaConnector and a KafkaConnect.
const (
	// ConditionReady: all that should run does, with the configuration that is wanted.
	ConditionReady = "Ready"
	// ConditionConfigValid: the spec, and what it refers to, can be used.
	ConditionConfigValid = "ConfigValid"
	// ConditionTaskConfigsPublished: the connector has published task configs for the present configuration.
	ConditionTaskConfigsPublished = "TaskConfigsPublished"
	// ConditionDegraded: the connector or some task has failed.
	ConditionDegraded = "Degraded"
	// ConditionPaused: the user has paused or stopped the connector.
	ConditionPaused = "Paused"
	// ConditionStorageReady: the claim of the shared volume is bound as the spec asks for.
	ConditionStorageReady = "StorageReady"
)

// Reasons of conditions. Every one is in the README, with its cure.
const (
	ReasonAccepted             = "Accepted"
	ReasonConnectNotFound      = "ConnectNotFound"
	ReasonImageMissing         = "ImageMissing"
	ReasonWorkerSecretNotNamed = "WorkerSecretNotNamed"
	ReasonWorkerSecretNotFound = "WorkerSecretNotFound"
	ReasonWorkerKeyMissing     = "WorkerKeyMissing"
	ReasonReservedName         = "ReservedName"
	ReasonNameTaken            = "NameTaken"
	ReasonFormerObjects        = "FormerObjects"
	ReasonApplyRejected        = "ApplyRejected"
	ReasonMountPathTaken       = "MountPathTaken"

	ReasonValidating       = "Validating"
	ReasonConfigRejected   = "ConfigRejected"
	ReasonValidationFailed = "ValidationFailed"
	ReasonFencing          = "Fencing"
	ReasonFencingFailed    = "FencingFailed"

	ReasonPublished           = "Published"
	ReasonNotPublishedYet     = "NotPublishedYet"
	ReasonOutdated            = "Outdated"
	ReasonTorn                = "Torn"
	ReasonTaskConfigInvalid   = "TaskConfigInvalid"
	ReasonTooManyTasks        = "TooManyTasks"
	ReasonTaskConfigsTooLarge = "TaskConfigsTooLarge"

	ReasonAllRunning       = "AllRunning"
	ReasonStarting         = "Starting"
	ReasonRolling          = "Rolling"
	ReasonConnectorFailed  = "ConnectorFailed"
	ReasonTasksFailed      = "TasksFailed"
	ReasonNothingFailed    = "NothingFailed"
	ReasonPaused           = "Paused"
	ReasonStopped          = "Stopped"
	ReasonRunning          = "Running"
	ReasonNoConnectors     = "NoConnectors"
	ReasonConnectAvailable = "Available"

	ReasonBound            = "Bound"
	ReasonClaimNotFound    = "ClaimNotFound"
	ReasonClaimPending     = "ClaimPending"
	ReasonClaimLost        = "ClaimLost"
	ReasonClaimTaken       = "ClaimTaken"
	ReasonClaimDiffers     = "ClaimDiffers"
	ReasonClaimResizing    = "ClaimResizing"
	ReasonProvisioning     = "ProvisioningFailed"
	ReasonOneNode          = "BoundToOneNode"
	ReasonClaimTerminating = "ClaimTerminating"
)

// Reasons of events that are no reasons of conditions.
const (
	ReasonTaskFailed    = "TaskFailed"
	ReasonTaskRecovered = "TaskRecovered"
	ReasonRestarting    = "Restarting"
	ReasonOffsets       = "Offsets"
	ReasonScaled        = "Scaled"
)

// States of a connector or task in status.
const (
	PodAbsent   = "Absent"
	PodPending  = "Pending"
	PodStarting = "Starting"
	PodRunning  = "Running"
	PodFailed   = "Failed"
	PodStopping = "Stopping"
)

// States of a KafkaConnector in status.
const (
	StatePending  = "Pending"
	StateRunning  = "Running"
	StateDegraded = "Degraded"
	StateFailed   = "Failed"
	StatePaused   = "Paused"
	StateStopped  = "Stopped"
)

// States of an operation on offsets in status.
const (
	OffsetsDone    = "Done"
	OffsetsFailed  = "Failed"
	OffsetsRefused = "Refused"
)
