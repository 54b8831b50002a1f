package decide

// Reason names a finding. It is what metrics, events and status carry, so its words stay as they are once released.
type Reason string

// Reasons to allow an eviction.
const (
	// NotAnEviction: the review is about something else, or the Eviction cannot be read as policy/v1 or policy/v1beta1.
	NotAnEviction Reason = "NotAnEviction"
	// NameMissing: neither the Eviction nor the request names the pod.
	NameMissing Reason = "NameMissing"
	// NamespaceMissing: neither the Eviction nor the request names the namespace.
	NamespaceMissing Reason = "NamespaceMissing"
	// NamespaceNotWatched: STRIMZI_DRAIN_NAMESPACES leaves the namespace out.
	NamespaceNotWatched Reason = "NamespaceNotWatched"
	// PodGone: there is no such pod.
	PodGone Reason = "PodGone"
	// NotProtected: no policy selects the pod, and it is none of Strimzi's Kafka or ZooKeeper pods.
	NotProtected Reason = "NotProtected"
	// UIDDiffers: the eviction is of an earlier pod of that name; the API server refuses it by itself.
	UIDDiffers Reason = "UIDDiffers"
	// PodTerminating: the pod is on its way already.
	PodTerminating Reason = "PodTerminating"
	// PodFinished: the pod has succeeded or failed.
	PodFinished Reason = "PodFinished"
	// PodPending: the pod does not run yet.
	PodPending Reason = "PodPending"
	// Safe: no partition, quorum or connector feels it.
	Safe Reason = "Safe"
	// DeadlinePassed: the drain took longer than spec.drainDeadline, and spec.onDeadline is Allow.
	DeadlinePassed Reason = "DeadlinePassed"
	// ObservedOnly: the policy's mode is Observe.
	ObservedOnly Reason = "ObservedOnly"
)

// Reasons to deny an eviction for now.
const (
	// RollRequested: the pod has been handed to its operator. In legacy mode (STRIMZI_DENY_EVICTION=false) it goes with an allowed eviction.
	RollRequested Reason = "RollRequested"
	// NodeNotCordoned: the node takes pods as ever, so nobody drains it.
	NodeNotCordoned Reason = "NodeNotCordoned"
	// PodMoved: the pod that was to leave has left, and the one that has its name now is on a node that nobody drains. The answer is
	// 404, and kubectl drain is content.
	PodMoved Reason = "PodMoved"
	// PodPinnedToNode: the pod's volume lives on the node, and spec.localVolumePolicy is Deny.
	PodPinnedToNode Reason = "PodPinnedToNode"
	// PoliciesOverlap: more than one policy selects the pod.
	PoliciesOverlap Reason = "PoliciesOverlap"
	// OperatorDown: nobody has acted on the annotation for spec.operatorDownAfter, and there are no bootstrapServers to fall back on.
	OperatorDown Reason = "OperatorDown"
	// KafkaUnreachable: the brokers did not answer.
	KafkaUnreachable Reason = "KafkaUnreachable"
	// KafkaSecretInvalid: a Secret of spec.tls or spec.sasl is missing, may not be read, or does not hold what it should.
	KafkaSecretInvalid Reason = "KafkaSecretInvalid"
	// BrokerIDUnknown: the pod's Kafka node id cannot be told.
	BrokerIDUnknown Reason = "BrokerIDUnknown"
	// BrokerNotInCluster: the brokers know no node of the pod's id, so these are perhaps the brokers of another cluster.
	BrokerNotInCluster Reason = "BrokerNotInCluster"
	// UnderMinISR: a partition of the broker has fewer replicas in sync than min.insync.replicas.
	UnderMinISR Reason = "UnderMinISR"
	// AtMinISR: a partition of the broker would have fewer than it needs without the broker.
	AtMinISR Reason = "AtMinISR"
	// UnderReplicated: a partition of the broker has a replica that is not in sync.
	UnderReplicated Reason = "UnderReplicated"
	// QuorumUnknown: the brokers did not tell the KRaft quorum.
	QuorumUnknown Reason = "QuorumUnknown"
	// QuorumLeaderless: the KRaft quorum has no leader.
	QuorumLeaderless Reason = "QuorumLeaderless"
	// QuorumAtRisk: without the controller fewer than a majority of the voters would have caught up.
	QuorumAtRisk Reason = "QuorumAtRisk"
	// AnotherDrain: as many pods of the cluster as spec.maxConcurrent allows are away, or about to be.
	AnotherDrain Reason = "AnotherDrain"
	// ConnectorUnknown: there is no KafkaConnector for the pod, or it has no status.
	ConnectorUnknown Reason = "ConnectorUnknown"
	// TaskAway: another pod of the connector is not running.
	TaskAway Reason = "TaskAway"
	// LookupFailed: Kubernetes did not answer what had to be known.
	LookupFailed Reason = "LookupFailed"
)

// MessageRolledByStrimzi is what Strimzi's Drain Cleaner says.
const MessageRolledByStrimzi = "The pod will be rolled by the Strimzi Cluster Operator"
