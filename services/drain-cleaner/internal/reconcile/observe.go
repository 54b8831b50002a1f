package reconcile

import (
	"context"
	"slices"
	"time"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/claims"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/evaluate"
)

// Observer gathers the state that both reconcilers decide on.
type Observer struct {
	Caches    *Caches
	Evaluator *evaluate.Evaluator
	Patience  decide.Patience
}

// observePolicy gathers the state that the status of a policy is computed from. It returns false while the cache of its
// pods is not filled.
func (o *Observer) observePolicy(
	ctx context.Context, policy *drainv1alpha1.KafkaDrainPolicy,
) (decide.PolicyState, bool) {
	s := decide.PolicyState{Policy: policy}
	pods, synced := o.Caches.Selected(policy)
	if !synced {
		return s, false
	}
	s.Pods = len(pods)
	if policy.Spec.BootstrapServers != "" {
		var cluster *decide.Cluster
		cluster, s.Fault = o.Evaluator.Kafka.Query(ctx, policy, time.Time{})
		s.Kafka = cluster != nil
	}
	s.Overlapping = o.overlapping(policy)
	for _, pod := range pods {
		if pod.DrainSince.IsZero() {
			continue
		}
		// A dry run neither claims nor annotates.
		verdict := o.Evaluator.Evict(ctx, decide.Request{
			Eviction: true, Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, DryRun: true,
		})
		if now := verdict.State.Pod.Value(); now != nil && now.UID == pod.UID {
			s.Draining = append(s.Draining, decide.DrainingPod{Pod: pod, Decision: verdict.Decision})
		}
	}
	s.Holders = o.holders(ctx, policy)
	return s, true
}

// overlapping returns the names of the other policies that select one of the policy's pods and act on it.
func (o *Observer) overlapping(policy *drainv1alpha1.KafkaDrainPolicy) []string {
	if policy.Spec.Mode == drainv1alpha1.ModeObserve {
		return nil
	}
	var names []string
	for _, other := range o.Caches.OverlappingPolicies(policy) {
		if other.Name != policy.Name && other.Spec.Mode != drainv1alpha1.ModeObserve {
			names = append(names, other.Name)
		}
	}
	slices.Sort(names)
	return names
}

// holders returns the claims of the policy's pods.
func (o *Observer) holders(ctx context.Context, policy *drainv1alpha1.KafkaDrainPolicy) []decide.HolderState {
	var holders []decide.HolderState
	for _, lease := range o.Caches.AllLeases() {
		for _, h := range claims.Read(lease) {
			if h.Namespace != policy.Namespace || h.Policy != policy.Name {
				continue
			}
			_, waitsFor := decide.Release(h, o.observeHolder(ctx, h, policy, false), o.Patience, o.Evaluator.Now())
			holders = append(holders, decide.HolderState{Holder: h, WaitsFor: waitsFor})
		}
	}
	return holders
}

// observeHolder gathers the state that the release of a claim depends on: first the pod and then Kafka, so that the
// answer of Kafka is not older than the pod.
func (o *Observer) observeHolder(
	ctx context.Context, h decide.Holder, policy *drainv1alpha1.KafkaDrainPolicy, live bool,
) decide.ReleaseState {
	if policy == nil {
		return decide.ReleaseState{PolicyGone: true}
	}
	var s decide.ReleaseState
	pod := o.Caches.Pod(ctx, h.Namespace, h.Pod, live)
	if pod.Failed() {
		// A pod that cannot be read counts as terminating, which keeps the claim.
		return decide.ReleaseState{Pod: &decide.Pod{UID: h.UID, Terminating: true}}
	}
	s.Pod = pod.Value()
	if h.BrokerID == nil {
		connector := o.Caches.Connector(ctx, h.Namespace, h.Connector)
		if s.Connector = connector.Value(); connector.Failed() {
			// A connector without units keeps the claim.
			s.Connector = &decide.Connector{}
		}
		return s
	}
	since := time.Time{}
	if live {
		since = o.Evaluator.Now()
	}
	s.Cluster, s.Fault = o.Evaluator.Kafka.Query(ctx, policy, since)
	return s
}
