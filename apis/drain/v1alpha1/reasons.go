package v1alpha1

// Reason explains the answer to an eviction, a condition or an event. Reasons appear in metrics, events and status.
type Reason string

// Reasons for which an eviction is allowed.
const (
	// ReasonNotAnEviction: the request is not an Eviction of policy/v1 or policy/v1beta1.
	ReasonNotAnEviction Reason = "NotAnEviction"
	// ReasonNameMissing: neither the Eviction nor the request names a pod.
	ReasonNameMissing Reason = "NameMissing"
	// ReasonNamespaceMissing: neither the Eviction nor the request names a namespace.
	ReasonNamespaceMissing Reason = "NamespaceMissing"
	// ReasonNamespaceNotWatched: the namespace is not in STRIMZI_DRAIN_NAMESPACES.
	ReasonNamespaceNotWatched Reason = "NamespaceNotWatched"
	// ReasonPodGone: the pod does not exist.
	ReasonPodGone Reason = "PodGone"
	// ReasonNotProtected: no policy selects the pod, and it is not a Kafka or ZooKeeper pod of Strimzi.
	ReasonNotProtected Reason = "NotProtected"
	// ReasonUIDDiffers: the eviction names the UID of another pod. The API server rejects it.
	ReasonUIDDiffers Reason = "UIDDiffers"
	// ReasonPodTerminating: the pod is being deleted.
	ReasonPodTerminating Reason = "PodTerminating"
	// ReasonPodFinished: the pod has succeeded or failed.
	ReasonPodFinished Reason = "PodFinished"
	// ReasonPodPending: the pod does not run yet.
	ReasonPodPending Reason = "PodPending"
	// ReasonSafe: all partitions, the quorum and the connector stay available without the pod.
	ReasonSafe Reason = "Safe"
	// ReasonDeadlinePassed: the drain takes longer than spec.drainDeadline, and spec.onDeadline is Allow.
	ReasonDeadlinePassed Reason = "DeadlinePassed"
	// ReasonObservedOnly: the policy's mode is Observe.
	ReasonObservedOnly Reason = "ObservedOnly"
)

// Reasons for which an eviction is denied.
const (
	// ReasonRollRequested: the operator was asked to roll the pod. With STRIMZI_DENY_EVICTION=false the eviction is
	// allowed for this reason.
	ReasonRollRequested Reason = "RollRequested"
	// ReasonNodeNotCordoned: the node is neither unschedulable nor tainted NoSchedule or NoExecute.
	ReasonNodeNotCordoned Reason = "NodeNotCordoned"
	// ReasonPodMoved: the pod was replaced, and the replacement runs on a node that is not being drained. The response
	// code is 404, which kubectl drain takes as success.
	ReasonPodMoved Reason = "PodMoved"
	// ReasonPodRecentlyReplaced: the pod replaced one that was evicted recently, and drain-cleaner has no permission to
	// read nodes. It cannot determine which node is being drained.
	ReasonPodRecentlyReplaced Reason = "PodRecentlyReplaced"
	// ReasonPodPinnedToNode: a volume of the pod is on the node, and spec.localVolumePolicy is Deny.
	ReasonPodPinnedToNode Reason = "PodPinnedToNode"
	// ReasonPoliciesOverlap: more than one policy selects the pod.
	ReasonPoliciesOverlap Reason = "PoliciesOverlap"
	// ReasonOperatorDown: no operator rolled the pod within spec.operatorDownAfter, and spec.bootstrapServers is empty.
	ReasonOperatorDown Reason = "OperatorDown"
	// ReasonKafkaUnreachable: the brokers did not answer.
	ReasonKafkaUnreachable Reason = "KafkaUnreachable"
	// ReasonBrokerUnreachable: another broker, without which the pod is needed, does not answer although Kafka lists it as
	// live. Kafka notices a crash only after broker.session.timeout.ms.
	ReasonBrokerUnreachable Reason = "BrokerUnreachable"
	// ReasonKafkaSecretInvalid: a Secret of spec.tls or spec.sasl is missing, forbidden or has invalid contents.
	ReasonKafkaSecretInvalid Reason = "KafkaSecretInvalid"
	// ReasonBrokerIDUnknown: the Kafka node ID of the pod is not known.
	ReasonBrokerIDUnknown Reason = "BrokerIDUnknown"
	// ReasonBrokerNotInCluster: the cluster has no node with the pod's ID. The brokers may belong to another cluster.
	ReasonBrokerNotInCluster Reason = "BrokerNotInCluster"
	// ReasonUnderMinISR: a partition of the broker has fewer in-sync replicas than min.insync.replicas.
	ReasonUnderMinISR Reason = "UnderMinISR"
	// ReasonAtMinISR: without the broker, a partition would have fewer in-sync replicas than it needs.
	ReasonAtMinISR Reason = "AtMinISR"
	// ReasonUnderReplicated: a partition of the broker has a replica that is not in sync.
	ReasonUnderReplicated Reason = "UnderReplicated"
	// ReasonQuorumUnknown: the brokers did not describe the KRaft quorum.
	ReasonQuorumUnknown Reason = "QuorumUnknown"
	// ReasonQuorumLeaderless: the KRaft quorum has no leader.
	ReasonQuorumLeaderless Reason = "QuorumLeaderless"
	// ReasonQuorumAtRisk: without the controller, less than a majority of the voters is caught up.
	ReasonQuorumAtRisk Reason = "QuorumAtRisk"
	// ReasonAnotherDrain: as many pods of the cluster as spec.maxConcurrent allows are being replaced.
	ReasonAnotherDrain Reason = "AnotherDrain"
	// ReasonBlockedByBudget: the PodDisruptionBudget of the pod allows no disruption now.
	ReasonBlockedByBudget Reason = "BlockedByBudget"
	// ReasonConnectorUnknown: the pod has no KafkaConnector, or that has no status.
	ReasonConnectorUnknown Reason = "ConnectorUnknown"
	// ReasonTaskUnavailable: another pod of the connector is starting.
	ReasonTaskUnavailable Reason = "TaskUnavailable"
	// ReasonLookupFailed: an input of the decision could not be read from the Kubernetes API.
	ReasonLookupFailed Reason = "LookupFailed"
)

// Reasons of the conditions of a KafkaDrainPolicy. Ready, KafkaReachable and the status of a drain also have reasons
// for which an eviction is denied.
const (
	// ReasonPolicyActive: the policy is in effect.
	ReasonPolicyActive Reason = "PolicyActive"
	// ReasonNoPodsSelected: spec.podSelector selects no pod.
	ReasonNoPodsSelected Reason = "NoPodsSelected"
	// ReasonKafkaAnswers: the brokers answered the last query.
	ReasonKafkaAnswers Reason = "KafkaAnswers"
	// ReasonNoDrain: no pod of the policy is being drained.
	ReasonNoDrain Reason = "NoDrain"
	// ReasonPodsDraining: pods of the policy are being drained or replaced.
	ReasonPodsDraining Reason = "PodsDraining"
	// ReasonNothingBlocked: no drain needs an action of the user.
	ReasonNothingBlocked Reason = "NothingBlocked"
	// ReasonDrainBlocked: a drain is past its deadline or needs an action of the user.
	ReasonDrainBlocked Reason = "DrainBlocked"
	// ReasonReplacing: the eviction of the pod was allowed. Its replacement is not in sync yet.
	ReasonReplacing Reason = "Replacing"
)

// EventClaimReleased is the reason of the event that reports that a pod no longer delays other drains.
const EventClaimReleased = "ClaimReleased"
