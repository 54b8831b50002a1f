// Package evaluate answers whether a pod may be evicted: it reads the inputs that package decide asks for until the
// decision is final.
//
// Denials rest on caches and cost no request. Before a protected pod is released, decide asks for live inputs. An
// eviction that is allowed because Kafka can spare the pod is allowed with a claim, on a state of Kafka that was
// queried after the claim was made.
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

// Sources read inputs from Kubernetes. With live they use no cache.
type Sources interface {
	WithoutKafka(namespace string) decide.Input[bool]
	Pod(ctx context.Context, namespace, name string, live bool) decide.Input[*decide.Pod]
	Policies(ctx context.Context, pod *decide.Pod, live bool) decide.Input[[]*drainv1alpha1.KafkaDrainPolicy]
	Node(ctx context.Context, name string, live bool) decide.Input[decide.Node]
	Budgets(ctx context.Context, pod *decide.Pod, live bool) decide.Input[[]decide.Budget]
	Volumes(ctx context.Context, pod *decide.Pod) decide.Input[[]string]
	Connector(ctx context.Context, namespace, name string) decide.Input[*decide.Connector]
	// RecordEviction records that the eviction of a pod was requested. RecentEviction returns that of another pod with
	// the same name, or nil.
	RecordEviction(pod *decide.Pod)
	RecentEviction(pod *decide.Pod) *decide.RecentEviction
}

// Kafka queries the clusters of policies.
type Kafka interface {
	// Query returns the state of the policy's cluster, from a query that began after since. If it returns nil, the fault
	// is the reason.
	Query(ctx context.Context, policy *drainv1alpha1.KafkaDrainPolicy, since time.Time) (*decide.Cluster, decide.Fault)
}

// Claims store the pods whose eviction was allowed.
type Claims interface {
	Holders(key string) []decide.Holder
	Claim(
		ctx context.Context, key, description string, pod decide.Holder, maxConcurrent int,
	) (holders []decide.Holder, claimed bool, err error)
	Release(ctx context.Context, key string, uid types.UID, since time.Time) error
}

// Evaluator answers reviews. All fields are required.
type Evaluator struct {
	Settings decide.Settings
	Sources  Sources
	Kafka    Kafka
	Claims   Claims
	Now      func() time.Time
	Log      *slog.Logger
}

// Verdict is a decision and its inputs.
type Verdict struct {
	decide.Decision
	State decide.State
}

// evaluation is the work on one verdict.
type evaluation struct {
	*Evaluator
	state decide.State
	// live is set when the pod has to be read past the caches. Everything except the policies follows.
	live bool
	// claimed is the pod's claim, if one was made, and claimKey its key.
	claimed  *decide.Holder
	claimKey string
}

// EvictImmediately answers a request without I/O, or returns false. This is possible in namespaces without Kafka.
func (e *Evaluator) EvictImmediately(request decide.Request) (Verdict, bool) {
	s := decide.State{Settings: e.Settings, Request: request}
	d := decide.Evict(s, e.Now())
	if d.Need == decide.NeedNamespace {
		s.WithoutKafka = e.Sources.WithoutKafka(request.Namespace)
		d = decide.Evict(s, e.Now())
	}
	return Verdict{Decision: d, State: s}, d.Need == decide.NeedNothing
}

// Evict answers a request. Reads end when ctx ends.
func (e *Evaluator) Evict(ctx context.Context, request decide.Request) Verdict {
	v := &evaluation{Evaluator: e, state: decide.State{Settings: e.Settings, Request: request}}
	for {
		d := decide.Evict(v.state, e.Now())
		if d.Need == decide.NeedNothing {
			v.finish(ctx, d)
			return Verdict{Decision: d, State: v.state}
		}
		v.fetch(ctx, d)
	}
}

// fetch reads the input that the decision needs.
func (e *evaluation) fetch(ctx context.Context, d decide.Decision) {
	s, live := &e.state, d.Live || e.live
	pod := s.Pod.Value()
	switch d.Need {
	case decide.NeedNamespace:
		s.WithoutKafka = e.Sources.WithoutKafka(s.Request.Namespace)
	case decide.NeedPod:
		e.fetchPod(ctx, d.Live)
	case decide.NeedPolicies:
		// Only an explicit request is live: policies that do not select the pod may come from a synced cache.
		e.fetchPolicies(ctx, d.Live)
	case decide.NeedNode:
		name := pod.Node
		if name == "" && s.Evicted != nil {
			name = s.Evicted.Node
		}
		s.Node = e.Sources.Node(ctx, name, live)
	case decide.NeedVolumes:
		s.Volumes = e.Sources.Volumes(ctx, pod)
	case decide.NeedConnector:
		s.Connector = e.Sources.Connector(ctx, pod.Namespace, pod.Labels[contract.LabelConnector])
	case decide.NeedBudgets:
		s.Budgets = e.Sources.Budgets(ctx, pod, live)
	case decide.NeedKafka:
		s.Cluster = e.queryKafka(ctx, time.Time{})
	case decide.NeedHolders:
		s.Holders = decide.FromCache(e.Claims.Holders(e.keyOfClaims()))
	case decide.NeedClaim:
		e.claim(ctx)
	}
}

// fetchPod reads the pod. A live read discards all inputs that depend on the pod.
func (e *evaluation) fetchPod(ctx context.Context, live bool) {
	s := &e.state
	if live {
		*s = decide.State{Settings: s.Settings, Request: s.Request, WithoutKafka: s.WithoutKafka}
		e.live = true
	}
	s.Pod = e.Sources.Pod(ctx, s.Request.Namespace, s.Request.Name, live)
	if pod := s.Pod.Value(); pod != nil {
		s.Evicted = e.Sources.RecentEviction(pod)
	}
}

// fetchPolicies reads the policies. If a live read finds others than the cache, it discards the inputs that depend on
// them.
func (e *evaluation) fetchPolicies(ctx context.Context, live bool) {
	s := &e.state
	before := s.Policies.Value()
	s.Policies = e.Sources.Policies(ctx, s.Pod.Value(), live)
	if !samePolicies(before, s.Policies.Value()) {
		s.Cluster, s.Holders = decide.Input[*decide.Cluster]{}, decide.Input[[]decide.Holder]{}
	}
}

func samePolicies(a, b []*drainv1alpha1.KafkaDrainPolicy) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].UID != b[i].UID || a[i].Generation != b[i].Generation {
			return false
		}
	}
	return true
}

// policy returns the policy that the pod follows: the first one that does not only observe, else the first one.
func (e *evaluation) policy() *drainv1alpha1.KafkaDrainPolicy {
	policies := e.state.Policies.Value()
	for _, p := range policies {
		if p.Spec.Mode != drainv1alpha1.ModeObserve {
			return p
		}
	}
	return policies[0]
}

func (e *evaluation) queryKafka(ctx context.Context, since time.Time) decide.Input[*decide.Cluster] {
	cluster, fault := e.Kafka.Query(ctx, e.policy(), since)
	if cluster == nil {
		return decide.Unreadable[*decide.Cluster](fault)
	}
	return decide.FromLiveRead(cluster)
}

// keyOfClaims is the key of the claims on what the pod is part of.
func (e *evaluation) keyOfClaims() string {
	if cluster := e.state.Cluster.Value(); cluster != nil {
		return claims.OfKafka(cluster.ID, e.policy().Spec.ClusterName)
	}
	pod := e.state.Pod.Value()
	return claims.OfConnector(pod.Namespace, pod.Labels[contract.LabelConnector])
}

// claimDescription describes it to users.
func (e *evaluation) claimDescription() string {
	if cluster := e.state.Cluster.Value(); cluster != nil {
		return strings.TrimSpace("Kafka cluster " + cluster.ID + " " + e.policy().Spec.ClusterName)
	}
	pod := e.state.Pod.Value()
	return "KafkaConnector " + pod.Namespace + "/" + pod.Labels[contract.LabelConnector]
}

// claim makes the claim and then reads the cluster or connector again.
func (e *evaluation) claim(ctx context.Context) {
	s, policy, pod := &e.state, e.policy(), e.holder()
	key := e.keyOfClaims()
	holders, claimed, err := e.Claims.Claim(ctx, key, e.claimDescription(), pod, int(policy.Spec.MaxConcurrent))
	if err != nil {
		s.Claimed = decide.Failed[bool](err)
		return
	}
	s.Holders, s.Claimed = decide.FromLiveRead(holders), decide.FromLiveRead(claimed)
	if !claimed {
		return
	}
	for _, h := range holders {
		if h.UID == pod.UID {
			e.claimed, e.claimKey = &h, key
		}
	}
	if before := s.Cluster.Value(); before != nil {
		s.Cluster = e.queryKafka(ctx, e.Now())
		if after := s.Cluster.Value(); after != nil && after.ID != before.ID {
			s.Cluster = decide.Unreadable[*decide.Cluster](decide.Fault{
				Reason:  drainv1alpha1.ReasonKafkaUnreachable,
				Message: "the cluster ID that the brokers report changed during the review",
			})
		}
	}
	if connector := s.Connector.Value(); connector != nil {
		s.Connector = e.Sources.Connector(ctx, connector.Namespace, connector.Name)
	}
}

// holder is the pod as the holder of a claim.
func (e *evaluation) holder() decide.Holder {
	s, pod, policy := e.state, e.state.Pod.Value(), e.policy()
	h := decide.Holder{
		Namespace: pod.Namespace, Pod: pod.Name, UID: pod.UID, Node: pod.Node, Policy: policy.Name, Since: e.Now(),
	}
	if connector := s.Connector.Value(); connector != nil {
		h.Connector = connector.Name
	}
	if cluster := s.Cluster.Value(); cluster != nil {
		if id, fault := decide.Identify(policy.Spec.BrokerID, pod, cluster); fault.Reason == "" {
			h.BrokerID = &id
		}
	}
	return h
}

// finish releases a claim that was made in vain, and makes one for a pod that is allowed because of its deadline.
func (e *evaluation) finish(ctx context.Context, d decide.Decision) {
	if e.state.Request.DryRun {
		return
	}
	switch d.Reason {
	case drainv1alpha1.ReasonRollRequested, drainv1alpha1.ReasonSafe, drainv1alpha1.ReasonDeadlinePassed:
		e.Sources.RecordEviction(e.state.Pod.Value())
	}
	hasCluster := e.state.Cluster.Value() != nil || e.state.Connector.Value() != nil
	var err error
	switch {
	case !d.Allow && e.claimed != nil && e.claimed.First.Equal(e.claimed.Since):
		err = e.Claims.Release(ctx, e.claimKey, e.claimed.UID, e.claimed.Since)
	case d.Reason == drainv1alpha1.ReasonDeadlinePassed && hasCluster:
		// The drains of other pods have to wait for this one, however many claims there are.
		_, _, err = e.Claims.Claim(ctx, e.keyOfClaims(), e.claimDescription(), e.holder(), unlimited)
	}
	if err != nil {
		pod := e.state.Pod.Value()
		e.Log.Warn("could not update a claim; it lapses or is renewed by the next review",
			"pod", pod.Namespace+"/"+pod.Name, "error", err)
	}
}

// unlimited is more claims than a cluster has.
const unlimited = 1 << 20
