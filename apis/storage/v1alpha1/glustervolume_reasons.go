package v1alpha1

// GlusterVolumeReason explains the condition Enforced of a GlusterVolume.
type GlusterVolumeReason string

// Reasons of the condition Enforced of a GlusterVolume.
const (
	// ReasonLimitsEnforced: every online brick enforces the limit.
	ReasonLimitsEnforced GlusterVolumeReason = "LimitsEnforced"
	// ReasonLimitShown: statfs of every online brick shows the limit. The storage has quota External.
	ReasonLimitShown GlusterVolumeReason = "LimitShown"
	// ReasonNoQuotad: no quotad has enforced a limit on the storage yet.
	ReasonNoQuotad GlusterVolumeReason = "NoQuotad"
	// ReasonWaitingForBricks: bricks have not reported the limit of the current size yet. The message names them.
	ReasonWaitingForBricks GlusterVolumeReason = "WaitingForBricks"
	// ReasonBricksFailed: bricks report that they cannot enforce the limit. The message has their errors.
	ReasonBricksFailed GlusterVolumeReason = "BricksFailed"
	// ReasonLimitNotShown: statfs of a brick does not show the limit. The storage has quota External.
	ReasonLimitNotShown GlusterVolumeReason = "LimitNotShown"
	// ReasonStorageUnavailable: the storage cannot be used, so the bricks are not known. The status is Unknown.
	ReasonStorageUnavailable GlusterVolumeReason = "StorageUnavailable"
)

// Reasons of events about a Node whose pods use GlusterFS volumes.
const (
	// EventClientFailed: a GlusterFS client has ended. Its volume is mounted again.
	EventClientFailed = "GlusterClientFailed"
	// EventMountsRecovered: the mounts of an ended GlusterFS client are replaced in all pods.
	EventMountsRecovered = "GlusterMountsRecovered"
	// EventMountsNotRecovered: mounts of an ended GlusterFS client could not be replaced. Their pods have to be restarted.
	EventMountsNotRecovered = "GlusterMountsNotRecovered"
	// EventVolumeUnavailable: a GlusterFS volume cannot be mounted on the node, or does not answer. The message has the
	// cause.
	EventVolumeUnavailable = "GlusterVolumeUnavailable"
	// EventVolumeAvailable: a GlusterFS volume that was unavailable can be used on the node again.
	EventVolumeAvailable = "GlusterVolumeAvailable"
)
