// Package evaluate answers whether a pod may be evicted: it gathers what decide asks for, and has decide decide.
//
// Denials are made from caches. What would let a pod go is looked at in the API first, since a cache may lag; and a pod that goes
// because Kafka does not feel it goes with a claim, and a look at Kafka that is younger than the claim.
package evaluate

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/weir-dev/weir/apis/contract"
	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/claims"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// Sources find what is asked for; with live they do not use a cache.
type Sources interface {
	Pod(ctx context.Context, namespace, name string, live bool) (*decide.Pod, error)
	Policies(ctx context.Context, pod *decide.Pod, live bool) ([]*drainv1alpha1.KafkaDrainPolicy, error)
	Node(ctx context.Context, name string, live bool) (decide.Node, error)
	// Asked notes that a pod was told to leave; Replaces tells whether a pod has taken the place of such a one.
	Asked(pod *decide.Pod)
	Replaces(pod *decide.Pod) (leftNode string, replaces bool)
	Pinned(ctx context.Context, pod *decide.Pod) ([]string, error)
	Connector(ctx context.Context, namespace, name string) (*decide.Connector, error)
}

// Kafka looks at the cluster of a policy.
type Kafka interface {
	// Look gives a look that began after since; nil comes with why.
	Query(ctx context.Context, policy *drainv1alpha1.KafkaDrainPolicy, since time.Time) (*decide.Cluster, decide.Fault)
}

// Claims keep who was let go.
type Claims interface {
	Holders(key string) []decide.Holder
	Claim(ctx context.Context, key, cluster string, want decide.Holder, most int) ([]decide.Holder, bool, error)
	Release(ctx context.Context, key string, uid types.UID, since time.Time) error
}

// Evaluator answers; all fields are required.
type Evaluator struct {
	Settings decide.Settings
	Sources  Sources
	Kafka    Kafka
	Claims   Claims
	Now      func() time.Time
	Log      *slog.Logger
}

// Verdict is a decision and what it was made from.
type Verdict struct {
	decide.Decision
	State decide.State
}

// evaluation is the making of one verdict.
type evaluation struct {
	*Evaluator
	state decide.State
	live  bool
	// policy and id are those of the claim.
	claimed *decide.Holder
}

// Evict answers a request. The answer comes before the end of ctx as far as what is asked heeds it.
func (e *Evaluator) Evict(ctx context.Context, request decide.Request) Verdict {
	q := &evaluation{Evaluator: e, state: decide.State{Settings: e.Settings, Request: request, Known: map[decide.Need]bool{}}}
	for {
		d := decide.Evict(q.state, e.Now())
		switch {
		case d.Need == decide.NeedNothing && d.Allow && !q.live && needsRecheck[d.Reason], d.Need == decide.NeedClaim && !q.live:
			q.recheckLive()
		case d.Need == decide.NeedNothing:
			q.settle(ctx, d)
			return Verdict{Decision: d, State: q.state}
		default:
			q.fetch(ctx, d)
		}
	}
}

// needsRecheck are the reasons to allow that a lagging cache may have given.
var needsRecheck = map[decide.Reason]bool{
	decide.NotProtected: true, decide.PodTerminating: true, decide.PodFinished: true, decide.PodPending: true,
	decide.Safe: true, decide.DeadlinePassed: true,
}

// recheckLive forgets what caches have said.
func (q *evaluation) recheckLive() {
	q.live = true
	q.state = decide.State{Settings: q.state.Settings, Request: q.state.Request, Known: map[decide.Need]bool{}}
}

// fetch finds what the decision needs.
func (q *evaluation) fetch(ctx context.Context, d decide.Decision) {
	s := &q.state
	s.Known[d.Need] = true
	s.Failure = ""
	var err error
	switch d.Need {
	case decide.NeedPod:
		if s.Pod, err = q.Sources.Pod(ctx, s.Request.Namespace, s.Request.Name, q.live); err == nil && s.Pod != nil {
			s.Policies, err = q.Sources.Policies(ctx, s.Pod, q.live)
			s.LeftNode, s.Replaces = q.Sources.Replaces(s.Pod)
		}
	case decide.NeedNode:
		s.Node, err = q.Sources.Node(ctx, s.Pod.Node, q.live)
	case decide.NeedVolumes:
		s.Pinned, err = q.Sources.Pinned(ctx, s.Pod)
	case decide.NeedConnector:
		s.Connector, err = q.Sources.Connector(ctx, s.Pod.Namespace, s.Pod.Labels[contract.LabelConnector])
	case decide.NeedKafka:
		s.Cluster, s.KafkaFault = q.Kafka.Query(ctx, d.Policy, time.Time{})
	case decide.NeedHolders:
		s.Holders = q.Claims.Holders(q.key(d))
	case decide.NeedClaim:
		err = q.claim(ctx, d)
	}
	if err != nil {
		s.Failure = err.Error()
	}
}

// key of the claims on what the pod belongs to.
func (q *evaluation) key(d decide.Decision) string {
	if q.state.Cluster != nil {
		return claims.OfKafka(q.state.Cluster.ID, d.Policy.Spec.ClusterName)
	}
	return claims.OfConnector(q.state.Pod.Namespace, q.state.Pod.Labels[contract.LabelConnector])
}

func (q *evaluation) cluster(d decide.Decision) string {
	if q.state.Cluster != nil {
		return strings.TrimSpace("Kafka cluster " + q.state.Cluster.ID + " " + d.Policy.Spec.ClusterName)
	}
	return "KafkaConnector " + q.state.Pod.Namespace + "/" + q.state.Pod.Labels[contract.LabelConnector]
}

// claim takes the claim, and then looks at everything anew that the decision rests on.
func (q *evaluation) claim(ctx context.Context, d decide.Decision) error {
	s := &q.state
	want := q.holder(d)
	holders, claimed, err := q.Claims.Claim(ctx, q.key(d), q.cluster(d), want, int(d.Policy.Spec.MaxConcurrent))
	if err != nil {
		return err
	}
	s.Holders, s.Claimed = holders, claimed
	if !claimed {
		return nil
	}
	for _, h := range holders {
		if h.UID == want.UID {
			q.claimed = &h
		}
	}
	if s.Cluster != nil {
		since := s.Cluster
		s.Cluster, s.KafkaFault = q.Kafka.Query(ctx, d.Policy, q.Now())
		if s.Cluster != nil && s.Cluster.ID != since.ID {
			s.Cluster, s.KafkaFault = nil, decide.Fault{Reason: decide.KafkaUnreachable, Message: "the brokers are those of another cluster than a moment ago"}
		}
	}
	if s.Connector != nil {
		s.Connector, err = q.Sources.Connector(ctx, s.Pod.Namespace, s.Connector.Name)
	}
	return err
}

func (q *evaluation) holder(d decide.Decision) decide.Holder {
	s := q.state
	h := decide.Holder{Namespace: s.Pod.Namespace, Pod: s.Pod.Name, UID: s.Pod.UID, Node: s.Pod.Node, Policy: d.Policy.Name, Since: q.Now()}
	if s.Connector != nil {
		h.Connector = s.Connector.Name
	}
	if s.Cluster != nil {
		if id, fault := decide.Identify(d.Policy.Spec.BrokerID, s.Pod, s.Cluster); fault.Reason == "" {
			h.BrokerID = &id
		}
	}
	return h
}

// settle gives a claim back that was taken for nothing, and takes one for a pod that goes because of its deadline.
func (q *evaluation) settle(ctx context.Context, d decide.Decision) {
	if q.state.Request.DryRun {
		return
	}
	if d.Reason == decide.RollRequested || d.Reason == decide.Safe || d.Reason == decide.DeadlinePassed {
		q.Sources.Asked(q.state.Pod)
	}
	var err error
	switch {
	case !d.Allow && q.claimed != nil && q.claimed.First.Equal(q.claimed.Since):
		err = q.Claims.Release(ctx, q.key(d), q.claimed.UID, q.claimed.Since)
	case d.Reason == decide.DeadlinePassed && (q.state.Cluster != nil || q.state.Connector != nil):
		// The others are to wait for it, however many there are.
		_, _, err = q.Claims.Claim(ctx, q.key(d), q.cluster(d), q.holder(d), 1<<20)
	}
	if err != nil {
		q.Log.Warn("a claim is not in order, and will lapse or be renewed", "pod", q.state.Pod.Namespace+"/"+q.state.Pod.Name, "error", err)
	}
}
