package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// KafkaDrainPolicyStatus is what drain-cleaner sees of a policy.
type KafkaDrainPolicyStatus struct {
	// observedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready (the policy can be acted on), KafkaReachable (where there are bootstrapServers), Draining (a pod is to leave
	// or has not come back) and Blocked (a drain is past its deadline, or waits for somebody).
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// pods is the number of pods that the policy selects.
	// +optional
	Pods int32 `json:"pods"`

	// drains that are under way, one for each pod that is to leave or whose replacement is not back in sync.
	// +optional
	// +listType=map
	// +listMapKey=uid
	Drains []Drain `json:"drains,omitempty"`
}

// Drain is one pod on its way.
type Drain struct {
	// pod that is evicted.
	Pod string `json:"pod"`
	// uid of that pod, not of its replacement.
	UID types.UID `json:"uid"`
	// node that it leaves.
	// +optional
	Node string `json:"node,omitempty"`
	// brokerId is the Kafka node id of the pod, where it could be told.
	// +optional
	BrokerID *int32 `json:"brokerId,omitempty"`
	// phase: Waiting (denied for now), Rolling (handed to an operator), Replacing (allowed; the replacement is not back in sync),
	// Blocked (past its deadline, or it cannot go on by itself) or Observed.
	Phase DrainPhase `json:"phase"`
	// reason in CamelCase: a finding of the README's table.
	Reason string `json:"reason"`
	// message says what is waited for.
	// +optional
	Message string `json:"message,omitempty"`
	// blockingPartitions are the first few of the partitions that keep the pod, as topic-partition.
	// +optional
	// +listType=atomic
	BlockingPartitions []string `json:"blockingPartitions,omitempty"`
	// blockingPartitionCount is how many there are.
	// +optional
	BlockingPartitionCount int32 `json:"blockingPartitionCount,omitempty"`
	// attempts is the number of evictions asked for, written at most once in half a minute.
	// +optional
	Attempts int32 `json:"attempts,omitempty"`
	// since is when the first of them was denied or allowed.
	Since metav1.Time `json:"since"`
}

// DrainPhase is how far a drain has come.
type DrainPhase string

// The phases of a drain.
const (
	// DrainWaiting is denied for now.
	DrainWaiting DrainPhase = "Waiting"
	// DrainRolling has been handed to an operator.
	DrainRolling DrainPhase = "Rolling"
	// DrainReplacing was allowed, and its replacement is not back in sync yet.
	DrainReplacing DrainPhase = "Replacing"
	// DrainBlocked does not go on by itself.
	DrainBlocked DrainPhase = "Blocked"
	// DrainObserved is only looked at.
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
