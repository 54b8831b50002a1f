package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// KafkaDrainPolicyStatus is the observed state of a policy.
type KafkaDrainPolicyStatus struct {
	// observedGeneration is the generation of the spec that this status reflects.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready (the policy is in effect), KafkaReachable (the brokers answer; only with bootstrapServers),
	// Draining (a drain is in progress) and Blocked (a drain is past its deadline or needs intervention).
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// pods is the number of pods selected by podSelector.
	// +optional
	Pods int32 `json:"pods"`

	// drains lists the drains in progress: pods with a requested eviction, and evicted pods whose replacement is not in
	// sync yet.
	// +optional
	// +listType=map
	// +listMapKey=uid
	Drains []Drain `json:"drains,omitempty"`
}

// Drain is the drain of one pod.
type Drain struct {
	// pod is the name of the pod.
	Pod string `json:"pod"`
	// uid is the uid of the evicted pod, not of its replacement.
	UID types.UID `json:"uid"`
	// node is the node that the pod is drained from.
	// +optional
	Node string `json:"node,omitempty"`
	// brokerId is the Kafka node id of the pod, if known.
	// +optional
	BrokerID *int32 `json:"brokerId,omitempty"`
	// phase is Waiting (the eviction is denied until it is safe), Rolling (an operator was asked to roll the pod),
	// Replacing (the eviction was allowed and the replacement is not in sync yet), Blocked (past its deadline, or needs
	// intervention) or Observed (mode Observe).
	Phase DrainPhase `json:"phase"`
	// reason of the last decision in CamelCase; the README of drain-cleaner lists all reasons.
	Reason string `json:"reason"`
	// message describes what the drain waits for.
	// +optional
	Message string `json:"message,omitempty"`
	// blockingPartitions are the first 5 partitions that prevent the eviction, as topic-partition.
	// +optional
	// +listType=atomic
	BlockingPartitions []string `json:"blockingPartitions,omitempty"`
	// blockingPartitionCount is the total number of partitions that prevent the eviction.
	// +optional
	BlockingPartitionCount int32 `json:"blockingPartitionCount,omitempty"`
	// attempts is the number of eviction requests for the pod. It is updated at most every 30 seconds.
	// +optional
	Attempts int32 `json:"attempts,omitempty"`
	// since is the time of the first eviction request.
	Since metav1.Time `json:"since"`
}

// DrainPhase is the progress of a drain.
type DrainPhase string

// Phases of a drain.
const (
	// DrainWaiting: the eviction is denied until it is safe.
	DrainWaiting DrainPhase = "Waiting"
	// DrainRolling: an operator was asked to roll the pod.
	DrainRolling DrainPhase = "Rolling"
	// DrainReplacing: the eviction was allowed, and the replacement is not in sync yet.
	DrainReplacing DrainPhase = "Replacing"
	// DrainBlocked: the drain is past its deadline or needs intervention.
	DrainBlocked DrainPhase = "Blocked"
	// DrainObserved: mode Observe reports the decision and allows the eviction.
	DrainObserved DrainPhase = "Observed"
)

// KafkaDrainPolicyList is a list of KafkaDrainPolicies.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type KafkaDrainPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KafkaDrainPolicy `json:"items"`
}
