package decide

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Holder is a pod that was allowed to go, and keeps others of its cluster from going until its replacement is back in sync.
type Holder struct {
	Namespace string    `json:"namespace"`
	Pod       string    `json:"pod"`
	UID       types.UID `json:"uid"`
	Node      string    `json:"node,omitempty"`
	// BrokerID is nil for the pods of connectors.
	BrokerID *int32 `json:"brokerId,omitempty"`
	// Connector is the KafkaConnector that the pod runs a part of; empty for brokers and controllers.
	Connector string `json:"connector,omitempty"`
	// Policy that let it go, of the pod's namespace.
	Policy string `json:"policy"`
	// Since is when it was last allowed.
	Since time.Time `json:"since"`
	// First is when it was first allowed.
	First time.Time `json:"first"`
}

// Room tells whether a pod holds a claim already, or may get one.
func Room(holders []Holder, uid types.UID, most int) bool {
	return len(holders) < max(most, 1) || slices.ContainsFunc(holders, func(h Holder) bool { return h.UID == uid })
}

// Claim adds a pod to the holders or renews its claim. It changes nothing where there is no room.
func Claim(holders []Holder, want Holder, most int) (after []Holder, claimed bool) {
	if !Room(holders, want.UID, most) {
		return holders, false
	}
	want.First = want.Since
	after = slices.Clone(holders)
	for i, h := range after {
		if h.UID == want.UID {
			want.First = h.First
			after[i] = want
			return after, true
		}
	}
	return append(after, want), true
}

// Drop removes a pod from the holders.
func Drop(holders []Holder, uid types.UID) []Holder {
	return slices.DeleteFunc(slices.Clone(holders), func(h Holder) bool { return h.UID == uid })
}

// Patience says how long claims outlast what can be seen.
type Patience struct {
	// Lapse is how long a claim stands while its pod is neither evicted nor on its way: longer than the API server takes for any
	// eviction that it has had allowed.
	Lapse time.Duration
	// Settle is how long a replacement has to have been ready before the brokers' word that it is in sync counts: longer than
	// broker.session.timeout.ms, after which they have forgotten the pod before it.
	Settle time.Duration
	// Nameless is how long a claim stands where no pod of the old name comes back, although the brokers say that all is well.
	Nameless time.Duration
}

// DefaultPatience suits Kafka's and Kubernetes' defaults: request-timeout of kube-apiserver 60 s, broker.session.timeout.ms 9 s.
var DefaultPatience = Patience{Lapse: 90 * time.Second, Settle: 10 * time.Second, Nameless: 5 * time.Minute}

// ReleaseState is what is known of a holder, read after its claim.
type ReleaseState struct {
	// PolicyGone: nobody asks for the claim any longer.
	PolicyGone bool
	// Pod of the holder's name, whatever its uid; nil where there is none.
	Pod *Pod
	// Cluster is nil where Kafka did not answer; Fault then says why.
	Cluster *Cluster
	Fault   Fault
	// Connector for the pods of connectors; nil where there is none.
	Connector *Connector
}

// Release tells whether a claim may be given back, or what it waits for.
func Release(h Holder, seen ReleaseState, p Patience, now time.Time) (done bool, message string) {
	switch {
	case seen.PolicyGone:
		return true, "its policy is gone"
	case seen.Pod != nil && seen.Pod.UID == h.UID:
		if seen.Pod.Terminating || now.Sub(h.Since) < p.Lapse {
			return false, "the pod is leaving"
		}
		return true, "the pod was allowed to go, and has not been evicted"
	case seen.Pod == nil && now.Sub(h.Since) < p.Nameless && !forgotten(h, seen):
		return false, "its replacement does not exist yet"
	case seen.Pod != nil && seen.Pod.ReadySince.IsZero():
		return false, "its replacement is not ready"
	}
	if h.BrokerID == nil {
		return releaseTask(h, seen)
	}
	return releaseBroker(h, seen, p)
}

// forgotten tells that a broker or connector was taken out of its cluster, so that no replacement will come.
func forgotten(h Holder, seen ReleaseState) bool {
	if h.BrokerID == nil {
		return seen.Connector == nil
	}
	return seen.Cluster != nil && !seen.Cluster.Knows(*h.BrokerID)
}

func releaseTask(h Holder, seen ReleaseState) (bool, string) {
	if seen.Connector == nil || seen.Connector.Running(h.Pod) {
		return true, "its replacement is running"
	}
	return false, "its replacement is not running its task"
}

func releaseBroker(h Holder, seen ReleaseState, p Patience) (bool, string) {
	if seen.Cluster == nil {
		return false, seen.Fault.Message
	}
	if seen.Pod != nil && seen.Cluster.ObservedAt.Sub(seen.Pod.ReadySince) < p.Settle {
		return false, "its replacement has just become ready"
	}
	inSync, lagging := seen.Cluster.InSync(*h.BrokerID)
	switch {
	case inSync:
		return true, "its replacement is in sync"
	case len(lagging) == 0:
		return false, fmt.Sprintf("node %d is not back in the cluster", *h.BrokerID)
	}
	return false, fmt.Sprintf("node %d is not in sync yet: %s", *h.BrokerID, list(lagging))
}
