package decide

import drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"

// Reason explains a decision.
type Reason = drainv1alpha1.Reason

// Reasons of decisions.
const (
	NotAnEviction       = drainv1alpha1.ReasonNotAnEviction
	NameMissing         = drainv1alpha1.ReasonNameMissing
	NamespaceMissing    = drainv1alpha1.ReasonNamespaceMissing
	NamespaceNotWatched = drainv1alpha1.ReasonNamespaceNotWatched
	PodGone             = drainv1alpha1.ReasonPodGone
	NotProtected        = drainv1alpha1.ReasonNotProtected
	UIDDiffers          = drainv1alpha1.ReasonUIDDiffers
	PodTerminating      = drainv1alpha1.ReasonPodTerminating
	PodFinished         = drainv1alpha1.ReasonPodFinished
	PodPending          = drainv1alpha1.ReasonPodPending
	Safe                = drainv1alpha1.ReasonSafe
	DeadlinePassed      = drainv1alpha1.ReasonDeadlinePassed
	ObservedOnly        = drainv1alpha1.ReasonObservedOnly
	RollRequested       = drainv1alpha1.ReasonRollRequested
	NodeNotCordoned     = drainv1alpha1.ReasonNodeNotCordoned
	PodMoved            = drainv1alpha1.ReasonPodMoved
	PodPinnedToNode     = drainv1alpha1.ReasonPodPinnedToNode
	PoliciesOverlap     = drainv1alpha1.ReasonPoliciesOverlap
	OperatorDown        = drainv1alpha1.ReasonOperatorDown
	KafkaUnreachable    = drainv1alpha1.ReasonKafkaUnreachable
	KafkaSecretInvalid  = drainv1alpha1.ReasonKafkaSecretInvalid
	BrokerIDUnknown     = drainv1alpha1.ReasonBrokerIDUnknown
	BrokerNotInCluster  = drainv1alpha1.ReasonBrokerNotInCluster
	UnderMinISR         = drainv1alpha1.ReasonUnderMinISR
	AtMinISR            = drainv1alpha1.ReasonAtMinISR
	UnderReplicated     = drainv1alpha1.ReasonUnderReplicated
	QuorumUnknown       = drainv1alpha1.ReasonQuorumUnknown
	QuorumLeaderless    = drainv1alpha1.ReasonQuorumLeaderless
	QuorumAtRisk        = drainv1alpha1.ReasonQuorumAtRisk
	AnotherDrain        = drainv1alpha1.ReasonAnotherDrain
	ConnectorUnknown    = drainv1alpha1.ReasonConnectorUnknown
	TaskUnavailable     = drainv1alpha1.ReasonTaskUnavailable
	LookupFailed        = drainv1alpha1.ReasonLookupFailed
	PolicyActive        = drainv1alpha1.ReasonPolicyActive
	KafkaAnswers        = drainv1alpha1.ReasonKafkaAnswers
	NoDrain             = drainv1alpha1.ReasonNoDrain
	PodsDraining        = drainv1alpha1.ReasonPodsDraining
	NothingBlocked      = drainv1alpha1.ReasonNothingBlocked
	DrainBlocked        = drainv1alpha1.ReasonDrainBlocked
	Replacing           = drainv1alpha1.ReasonReplacing
)

// MessageRolledByStrimzi is the message of Strimzi's Drain Cleaner.
const MessageRolledByStrimzi = "The pod will be rolled by the Strimzi Cluster Operator"
