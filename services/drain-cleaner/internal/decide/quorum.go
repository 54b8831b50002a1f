package decide

import (
	"fmt"
	"slices"
	"time"
)

// DefaultFetchTimeout is Kafka's default of controller.quorum.fetch.timeout.ms.
const DefaultFetchTimeout = 2 * time.Second

// Voter is a KRaft controller that votes.
type Voter struct {
	ID int32
	// LastCaughtUp is when it had all that the leader had; zero where that is not known. The leader's own is its clock.
	LastCaughtUp time.Time
}

// Quorum is the KRaft quorum as its leader describes it (KIP-595, KIP-836).
type Quorum struct {
	// Leader is -1 while there is none.
	Leader int32
	Voters []Voter
	// Observers are nodes that follow without a vote: all brokers, for example.
	Observers []int32
	// FetchTimeout is controller.quorum.fetch.timeout.ms; DefaultFetchTimeout where 0.
	FetchTimeout time.Duration
}

func (q *Quorum) isVoter(id int32) bool {
	return q != nil && slices.ContainsFunc(q.Voters, func(v Voter) bool { return v.ID == id })
}

func (q *Quorum) knows(id int32) bool {
	return q.isVoter(id) || q != nil && slices.Contains(q.Observers, id)
}

// caughtUp tells whether a voter is as far as the leader was a fetch timeout ago. Nodes without a vote count as caught up.
func (q *Quorum) caughtUp(id int32) bool {
	if !q.isVoter(id) {
		return true
	}
	var own, leaders time.Time
	for _, v := range q.Voters {
		if v.ID == id {
			own = v.LastCaughtUp
		}
		if v.ID == q.Leader {
			leaders = v.LastCaughtUp
		}
	}
	if id == q.Leader {
		return true
	}
	timeout := q.FetchTimeout
	if timeout == 0 {
		timeout = DefaultFetchTimeout
	}
	return !own.IsZero() && !leaders.IsZero() && leaders.Sub(own) < timeout
}

// feels tells why a voter may not go: a majority of all voters has to have caught up without it and those in away.
func (q *Quorum) feels(id int32, away []int32) Verdict {
	// Without a leader nobody takes a broker out of the in-sync replicas either: what the brokers say may be old.
	if q != nil && q.Leader < 0 || q.isVoter(id) && !q.isVoter(q.Leader) {
		return Verdict{Reason: QuorumLeaderless, Message: "the KRaft quorum has no leader"}
	}
	if !q.isVoter(id) || len(q.Voters) == 1 {
		return Verdict{}
	}
	remaining, majority := 0, len(q.Voters)/2+1
	for _, v := range q.Voters {
		if v.ID != id && !slices.Contains(away, v.ID) && q.caughtUp(v.ID) {
			remaining++
		}
	}
	if remaining >= majority {
		return Verdict{}
	}
	return Verdict{Reason: QuorumAtRisk, Message: fmt.Sprintf("without controller %d only %d of %d KRaft voters would have caught up; a majority is %d", id, remaining, len(q.Voters), majority)}
}
