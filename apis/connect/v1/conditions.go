package v1

// Condition types of a KafkaConnector and a KafkaConnect.
const (
	// ConditionReady is True when all pods that should run are running with the current configuration.
	ConditionReady = "Ready"
	// ConditionConfigValid is True when the spec and the objects that it references are valid. KafkaConnector only.
	ConditionConfigValid = "ConfigValid"
	// ConditionTaskConfigsPublished is True when the connector has published task configs for its current configuration.
	// KafkaConnector only.
	ConditionTaskConfigsPublished = "TaskConfigsPublished"
	// ConditionDegraded is True when the connector or at least one task has failed. KafkaConnector only.
	ConditionDegraded = "Degraded"
	// ConditionPaused is True when spec.state is paused or stopped. KafkaConnector only.
	ConditionPaused = "Paused"
	// ConditionStorageReady is True when the claim of the shared volume is bound and matches the spec. It is absent
	// without a volume.
	ConditionStorageReady = "StorageReady"
	// ConditionRolloutBlocked is True when failed tasks stop the rollout of a new pod template. It is absent otherwise.
	// KafkaConnector only.
	ConditionRolloutBlocked = "RolloutBlocked"
	// ConditionReconfiguringTooOften is True while a change of task configs waits, because the connector has changed them
	// several times within a short time. It is absent otherwise. KafkaConnector only.
	ConditionReconfiguringTooOften = "ReconfiguringTooOften"
)

// Reasons of the condition ConfigValid.
const (
	// ReasonAccepted: the spec and the objects that it references are valid.
	ReasonAccepted = "Accepted"
	// ReasonConnectNotFound: the KafkaConnect of spec.connectRef does not exist.
	ReasonConnectNotFound = "ConnectNotFound"
	// ReasonImageMissing: neither the connector nor its KafkaConnect sets an image.
	ReasonImageMissing = "ImageMissing"
	// ReasonWorkerSecretNotSet: neither the connector nor its KafkaConnect sets workerConfigSecret.
	ReasonWorkerSecretNotSet = "WorkerSecretNotSet"
	// ReasonWorkerSecretNotFound: the Secret of workerConfigSecret does not exist.
	ReasonWorkerSecretNotFound = "WorkerSecretNotFound"
	// ReasonWorkerKeyMissing: the Secret of workerConfigSecret has no key worker.properties.
	ReasonWorkerKeyMissing = "WorkerKeyMissing"
	// ReasonReservedName: the template uses the name of an environment variable or a volume that Weir reserves.
	ReasonReservedName = "ReservedName"
	// ReasonTemplateNotAllowed: the template uses a type of volume, or serviceSpec a field, that could give access to
	// nodes or to the traffic of other Services. Pods that run are unchanged.
	ReasonTemplateNotAllowed = "TemplateNotAllowed"
	// ReasonMountPathConflict: two volumes are mounted at the same path, or one hides the other.
	ReasonMountPathConflict = "MountPathConflict"
	// ReasonNameConflict: an object with a derived name exists and is not managed by connect-scheduler.
	ReasonNameConflict = "NameConflict"
	// ReasonWaitingForDeletion: an object of a deleted connector with the same name still exists.
	ReasonWaitingForDeletion = "WaitingForDeletion"
	// ReasonOffsetsConflict: another connector of the same name stores its offsets in the same topic of the same Kafka
	// cluster. The newer connector does not start.
	ReasonOffsetsConflict = "OffsetsConflict"
	// ReasonValidating: the connector plugin is validating the new connectorConfig. The status is Unknown.
	ReasonValidating = "Validating"
	// ReasonConfigRejected: the connector plugin rejected the new connectorConfig.
	ReasonConfigRejected = "ConfigRejected"
	// ReasonValidationFailed: the validation ended with an error before it had a result.
	ReasonValidationFailed = "ValidationFailed"
)

// Reasons of the condition TaskConfigsPublished.
const (
	// ReasonPublished: the task configs of the current configuration are published.
	ReasonPublished = "Published"
	// ReasonNotPublishedYet: the connector has not published task configs yet.
	ReasonNotPublishedYet = "NotPublishedYet"
	// ReasonTaskConfigsOutdated: the published task configs belong to the previous configuration.
	ReasonTaskConfigsOutdated = "TaskConfigsOutdated"
	// ReasonTaskConfigsInconsistent: the Secret does not hold the task configs that the connector published.
	ReasonTaskConfigsInconsistent = "TaskConfigsInconsistent"
	// ReasonTaskConfigsLost: the Secret with the published task configs was deleted. The connector restarts and publishes
	// them again. Running tasks are unchanged.
	ReasonTaskConfigsLost = "TaskConfigsLost"
	// ReasonTaskConfigInvalid: a published task config cannot be parsed.
	ReasonTaskConfigInvalid = "TaskConfigInvalid"
	// ReasonTooManyTasks: the connector published more task configs than tasks.max.
	ReasonTooManyTasks = "TooManyTasks"
	// ReasonTaskConfigsTooLarge: the task configs do not fit into a Secret.
	ReasonTaskConfigsTooLarge = "TaskConfigsTooLarge"
	// ReasonFencing: the previous tasks of an exactly-once source are being stopped and fenced.
	ReasonFencing = "Fencing"
	// ReasonFencingFailed: the producers of the previous tasks could not be fenced. No task runs.
	ReasonFencingFailed = "FencingFailed"
)

// Reasons of the conditions Ready, Degraded and Paused. Ready also takes the reasons of the other conditions.
const (
	// ReasonAllRunning: the connector and all tasks are ready.
	ReasonAllRunning = "AllRunning"
	// ReasonNoTasks: the connector is ready and has published no task configs, so no task runs.
	ReasonNoTasks = "NoTasks"
	// ReasonStarting: pods are starting or stopping.
	ReasonStarting = "Starting"
	// ReasonRolling: pods with an outdated configuration are being replaced.
	ReasonRolling = "Rolling"
	// ReasonRestartLimitReached: pods with an outdated configuration wait, because the maximum number of pods restarts at
	// the same time. Pods that run are unchanged.
	ReasonRestartLimitReached = "RestartLimitReached"
	// ReasonTaskConfigsDelayed: the newest task configs roll out later. Reason of ReconfiguringTooOften and of an event.
	ReasonTaskConfigsDelayed = "TaskConfigsDelayed"
	// ReasonRolloutBlocked: failed tasks stop the rollout of a new pod template. Also the reason of an event.
	ReasonRolloutBlocked = "RolloutBlocked"
	// ReasonConnectorFailed: the connector's container ended with an error. Also the reason of an event.
	ReasonConnectorFailed = "ConnectorFailed"
	// ReasonTasksFailed: at least one task's container ended with an error.
	ReasonTasksFailed = "TasksFailed"
	// ReasonNoFailures: neither the connector nor a task has failed.
	ReasonNoFailures = "NoFailures"
	// ReasonPaused: spec.state is paused.
	ReasonPaused = "Paused"
	// ReasonStopped: spec.state is stopped.
	ReasonStopped = "Stopped"
	// ReasonNotPaused: spec.state is running.
	ReasonNotPaused = "NotPaused"
	// ReasonNoConnectors: no KafkaConnector references the KafkaConnect.
	ReasonNoConnectors = "NoConnectors"
	// ReasonAvailable: the KafkaConnect can be used.
	ReasonAvailable = "Available"
	// ReasonApplyRejected: the API server rejected an object.
	ReasonApplyRejected = "ApplyRejected"
)

// Reasons of the condition StorageReady.
const (
	// ReasonBound: the claim is bound.
	ReasonBound = "Bound"
	// ReasonBoundToOneNode: the claim is bound with access mode ReadWriteOnce, so all pods run on one node.
	ReasonBoundToOneNode = "BoundToOneNode"
	// ReasonClaimNotFound: the claim of storage.existingClaim does not exist.
	ReasonClaimNotFound = "ClaimNotFound"
	// ReasonStorageClassNotFound: the StorageClass of a claim that is not bound does not exist, and no PersistentVolume
	// has its name as class.
	ReasonStorageClassNotFound = "StorageClassNotFound"
	// ReasonClaimPending: the claim is not bound yet.
	ReasonClaimPending = "ClaimPending"
	// ReasonClaimLost: the claim has lost its volume.
	ReasonClaimLost = "ClaimLost"
	// ReasonClaimConflict: a claim with the derived name exists and is not managed by connect-scheduler.
	ReasonClaimConflict = "ClaimConflict"
	// ReasonClaimDiffers: the claim differs from the spec in a field that cannot be changed.
	ReasonClaimDiffers = "ClaimDiffers"
	// ReasonClaimResizing: the claim is being expanded.
	ReasonClaimResizing = "ClaimResizing"
	// ReasonClaimTerminating: the claim is being deleted.
	ReasonClaimTerminating = "ClaimTerminating"
	// ReasonProvisioningFailed: the provisioner reported an error.
	ReasonProvisioningFailed = "ProvisioningFailed"
)

// Reasons of events that are not reasons of conditions.
const (
	// ReasonTaskFailed: the container of a task ended with an error.
	ReasonTaskFailed = "TaskFailed"
	// ReasonTaskRecovered: a task that had failed is running again.
	ReasonTaskRecovered = "TaskRecovered"
	// ReasonRestarting: a pod is deleted so that its StatefulSet recreates it.
	ReasonRestarting = "Restarting"
	// ReasonScaled: the number of tasks has changed.
	ReasonScaled = "Scaled"
	// ReasonOffsets: an operation on the connector's offsets has ended.
	ReasonOffsets = "Offsets"
	// ReasonDelayEnded: the newest task configs are no longer delayed and roll out now.
	ReasonDelayEnded = "DelayEnded"
)

// ConnectorPhase is the observed state of a KafkaConnector (status.state).
type ConnectorPhase string

// Values of ConnectorPhase.
const (
	// PhasePending: the connector or some of its tasks are not ready yet.
	PhasePending ConnectorPhase = "Pending"
	// PhaseRunning: the connector and all tasks are ready.
	PhaseRunning ConnectorPhase = "Running"
	// PhaseDegraded: the connector or some tasks have failed.
	PhaseDegraded ConnectorPhase = "Degraded"
	// PhaseFailed: all tasks have failed, or the connector has failed and no task is ready.
	PhaseFailed ConnectorPhase = "Failed"
	// PhasePaused: spec.state is paused.
	PhasePaused ConnectorPhase = "Paused"
	// PhaseStopping: spec.state is stopped, and pods of the connector or its tasks still exist.
	PhaseStopping ConnectorPhase = "Stopping"
	// PhaseStopped: spec.state is stopped, and no pod of the connector or its tasks exists.
	PhaseStopped ConnectorPhase = "Stopped"
)

// PodState is the observed state of the pod of a connector or a task.
type PodState string

// Values of PodState.
const (
	// PodAbsent: the pod does not exist.
	PodAbsent PodState = "Absent"
	// PodPending: the container has not started yet.
	PodPending PodState = "Pending"
	// PodStarting: the container runs and is not ready yet.
	PodStarting PodState = "Starting"
	// PodRunning: the pod is ready.
	PodRunning PodState = "Running"
	// PodFailed: the container ended with an error.
	PodFailed PodState = "Failed"
	// PodStopping: the pod is being deleted.
	PodStopping PodState = "Stopping"
)

// OffsetsState is the progress or the outcome of an operation on a connector's offsets.
type OffsetsState string

// Values of OffsetsState.
const (
	// OffsetsWaitingForPods: the operation starts when no pod of the connector or its tasks exists.
	OffsetsWaitingForPods OffsetsState = "WaitingForPods"
	// OffsetsRetrying: an attempt has failed. The message has its error and the time of the next attempt.
	OffsetsRetrying OffsetsState = "Retrying"
	// OffsetsCanceled: the annotation was removed before the operation ended.
	OffsetsCanceled OffsetsState = "Canceled"
	// OffsetsDone: the operation succeeded.
	OffsetsDone OffsetsState = "Done"
	// OffsetsFailed: the operation ended with an error.
	OffsetsFailed OffsetsState = "Failed"
	// OffsetsRefused: the operation was not started because the request is invalid.
	OffsetsRefused OffsetsState = "Refused"
)
