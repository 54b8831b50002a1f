package decide

import (
	"fmt"
	"slices"
	"time"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
)

// DefaultFetchTimeout is Kafka's default of controller.quorum.fetch.timeout.ms.
const DefaultFetchTimeout = 2 * time.Second

// Voter is a voter of the KRaft quorum.
type Voter struct {
	ID int32
	// LastCaughtUp is the last time at which the voter had replicated the leader's log end. It is zero if unknown. For the
	// leader itself it is the leader's current time.
	LastCaughtUp time.Time
}

// Quorum is the KRaft quorum as reported by its leader (KIP-595, KIP-836).
type Quorum struct {
	// Leader is -1 if there is no leader.
	Leader int32
	Voters []Voter
	// Observers are nodes that replicate the metadata log without a vote: brokers, and controllers that are not voters.
	Observers []int32
	// FetchTimeout is controller.quorum.fetch.timeout.ms. Default: DefaultFetchTimeout.
	FetchTimeout time.Duration
}

func (q *Quorum) isVoter(id int32) bool {
	return q != nil && slices.ContainsFunc(q.Voters, func(v Voter) bool { return v.ID == id })
}

func (q *Quorum) knows(id int32) bool {
	return q.isVoter(id) || q != nil && slices.Contains(q.Observers, id)
}

// hasCaughtUp reports whether a voter's lag behind the leader is shorter than the fetch timeout. It is true for other
// nodes.
func (q *Quorum) hasCaughtUp(id int32) bool {
	if !q.isVoter(id) || id == q.Leader {
		return true
	}
	var own, leader time.Time
	for _, v := range q.Voters {
		if v.ID == id {
			own = v.LastCaughtUp
		}
		if v.ID == q.Leader {
			leader = v.LastCaughtUp
		}
	}
	timeout := q.FetchTimeout
	if timeout == 0 {
		timeout = DefaultFetchTimeout
	}
	return !own.IsZero() && !leader.IsZero() && leader.Sub(own) < timeout
}

// checkRemoval reports whether a voter may be removed: a majority of all voters must have caught up without the voter
// and without the nodes in away.
func (q *Quorum) checkRemoval(id int32, away []int32) Verdict {
	// Without a leader no broker is removed from an ISR, so the reported ISRs may be stale.
	if q != nil && q.Leader < 0 || q.isVoter(id) && !q.isVoter(q.Leader) {
		return Verdict{Reason: drainv1alpha1.ReasonQuorumLeaderless, Message: "the KRaft quorum has no leader"}
	}
	if !q.isVoter(id) || len(q.Voters) == 1 {
		return Verdict{}
	}
	remaining, majority := 0, len(q.Voters)/2+1
	if len(q.Voters) == 2 {
		// Two voters never have a majority without one of them. Metadata is unavailable while the voter is replaced.
		majority = 1
	}
	for _, v := range q.Voters {
		if v.ID != id && !slices.Contains(away, v.ID) && q.hasCaughtUp(v.ID) {
			remaining++
		}
	}
	if remaining >= majority {
		return Verdict{}
	}
	if len(q.Voters) == 2 {
		return Verdict{Reason: drainv1alpha1.ReasonQuorumAtRisk, Message: fmt.Sprintf(
			"the other KRaft voter has not caught up or is being replaced; controller %d has the only complete log", id)}
	}
	return Verdict{Reason: drainv1alpha1.ReasonQuorumAtRisk, Message: fmt.Sprintf(
		"without controller %d only %d of %d KRaft voters have caught up; the majority is %d",
		id, remaining, len(q.Voters), majority)}
}

// removalWarning reports that the quorum loses its majority until the voter is replaced.
func (q *Quorum) removalWarning(id int32) string {
	if !q.isVoter(id) || len(q.Voters) > 2 {
		return ""
	}
	return fmt.Sprintf("cluster metadata is unavailable until controller %d is back: the quorum has only %d voter(s)",
		id, len(q.Voters))
}
