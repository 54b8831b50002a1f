package decide

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Holder is a pod whose eviction was allowed. It delays the drains of other pods of its cluster until its replacement
// is in sync.
type Holder struct {
	Namespace string    `json:"namespace"`
	Pod       string    `json:"pod"`
	UID       types.UID `json:"uid"`
	Node      string    `json:"node,omitempty"`
	// BrokerID is nil for the pods of connectors.
	BrokerID *int32 `json:"brokerId,omitempty"`
	// Connector is the KafkaConnector of the pod. It is empty for brokers and controllers.
	Connector string `json:"connector,omitempty"`
	// Policy that allowed the eviction, in the namespace of the pod.
	Policy string `json:"policy"`
	// Since is when the eviction was last allowed.
	Since time.Time `json:"since"`
	// First is when the eviction was first allowed.
	First time.Time `json:"first"`
}

// CanClaim reports whether a pod has a claim already or may make one.
func CanClaim(holders []Holder, uid types.UID, maxConcurrent int) bool {
	return len(holders) < max(maxConcurrent, 1) ||
		slices.ContainsFunc(holders, func(h Holder) bool { return h.UID == uid })
}

// AddHolder adds a pod to the holders or renews its claim. It returns false if there are too many holders.
func AddHolder(holders []Holder, pod Holder, maxConcurrent int) (after []Holder, claimed bool) {
	if !CanClaim(holders, pod.UID, maxConcurrent) {
		return holders, false
	}
	pod.First = pod.Since
	after = slices.Clone(holders)
	for i, h := range after {
		if h.UID == pod.UID {
			pod.First = h.First
			after[i] = pod
			return after, true
		}
	}
	return append(after, pod), true
}

// RemoveHolder removes a pod from the holders.
func RemoveHolder(holders []Holder, uid types.UID) []Holder {
	return slices.DeleteFunc(slices.Clone(holders), func(h Holder) bool { return h.UID == uid })
}

// Patience is how long claims last beyond what can be observed.
type Patience struct {
	// Lapse is how long a claim lasts while its pod is not terminating. It has to be longer than the API server takes for
	// an eviction after the webhook allowed it.
	Lapse time.Duration
	// Settle is how long a replacement has to be ready before Kafka's state counts. It has to be longer than
	// broker.session.timeout.ms, after which the brokers have forgotten the previous pod.
	Settle time.Duration
	// ReplacementTimeout is how long a claim lasts without a replacement pod, if the brokers report that all is in sync.
	// It is also the least time between two rolls of pods with the same name while nodes cannot be read.
	ReplacementTimeout time.Duration
}

// DefaultPatience suits the defaults of Kubernetes (request-timeout of kube-apiserver: 60 s) and Kafka
// (broker.session.timeout.ms: 9 s).
var DefaultPatience = Patience{Lapse: 90 * time.Second, Settle: 10 * time.Second, ReplacementTimeout: 5 * time.Minute}

// ReleaseState is the state that the release of a claim depends on. It was read after the claim was made.
type ReleaseState struct {
	// PolicyGone: the policy of the holder does not exist.
	PolicyGone bool
	// Pod with the name of the holder, whatever its UID, or nil.
	Pod *Pod
	// Cluster is nil if Kafka did not answer. Fault is the reason.
	Cluster *Cluster
	Fault   Fault
	// Connector of the pod, or nil if it does not exist.
	Connector *Connector
}

// Release reports whether a claim may be released. The message says why, or what it waits for.
func Release(h Holder, s ReleaseState, p Patience, now time.Time) (release bool, message string) {
	age := now.Sub(h.Since)
	switch {
	case s.PolicyGone:
		return true, "its policy was deleted"
	case s.Pod != nil && s.Pod.UID == h.UID:
		if s.Pod.Terminating {
			return false, "the pod is terminating"
		}
		if age < p.Lapse {
			return false, "the eviction of the pod was allowed"
		}
		return true, "the pod was not evicted after its eviction was allowed"
	case s.Pod == nil && age < p.ReplacementTimeout && !removed(h, s):
		return false, "its replacement does not exist yet"
	case s.Pod != nil && s.Pod.ReadySince.IsZero():
		return false, "its replacement is not ready"
	}
	if h.BrokerID == nil {
		return releaseTask(h, s)
	}
	return releaseBroker(h, s, p)
}

// removed reports whether the broker or connector was removed from its cluster, so that it gets no replacement.
func removed(h Holder, s ReleaseState) bool {
	if h.BrokerID == nil {
		return s.Connector == nil
	}
	return s.Cluster != nil && !s.Cluster.Knows(*h.BrokerID)
}

func releaseTask(h Holder, s ReleaseState) (bool, string) {
	if s.Connector == nil || s.Connector.Running(h.Pod) {
		return true, "its replacement is running"
	}
	return false, "its replacement does not run its task yet"
}

func releaseBroker(h Holder, s ReleaseState, p Patience) (bool, string) {
	if s.Cluster == nil {
		return false, s.Fault.Message
	}
	if s.Pod != nil && s.Cluster.ObservedAt.Sub(s.Pod.ReadySince) < p.Settle {
		return false, "its replacement became ready a moment ago"
	}
	inSync, lagging := s.Cluster.InSync(*h.BrokerID)
	switch {
	case inSync:
		return true, "its replacement is in sync"
	case len(lagging) == 0:
		return false, fmt.Sprintf("node %d has not rejoined the cluster", *h.BrokerID)
	}
	return false, fmt.Sprintf("node %d is not in sync yet: %s", *h.BrokerID, list(lagging))
}
