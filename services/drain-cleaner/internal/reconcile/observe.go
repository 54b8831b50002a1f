// Package reconcile keeps the status of policies, and gives claims back once replacements are in sync. One replica runs it.
package reconcile

import (
	"context"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/claims"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/judge"
)

// Sources are those of reviews, and what else has to be seen.
type Sources interface {
	judge.Sources
	Policy(namespace, name string) *drainv1alpha1.KafkaDrainPolicy
	AllPolicies() []*drainv1alpha1.KafkaDrainPolicy
	Selected(policy *drainv1alpha1.KafkaDrainPolicy) (pods []*decide.Pod, filled bool)
}

// observe gathers what the status of a policy is made of; false where the cache of its pods is not filled yet.
func (r *Policies) observe(ctx context.Context, policy *drainv1alpha1.KafkaDrainPolicy) (decide.Situation, bool) {
	s := decide.Situation{Policy: policy}
	pods, filled := r.Sources.Selected(policy)
	if !filled {
		return s, false
	}
	s.Pods = len(pods)
	if policy.Spec.BootstrapServers != "" {
		var cluster *decide.Cluster
		cluster, s.Fault = r.Judge.Kafka.Query(ctx, policy, time.Time{})
		s.Kafka = cluster != nil
	}
	overlapping := map[string]bool{}
	for _, pod := range pods {
		selecting, err := r.Sources.Policies(ctx, pod, false)
		for _, other := range selecting {
			if err == nil && other.Name != policy.Name && other.Spec.Mode != drainv1alpha1.ModeObserve && policy.Spec.Mode != drainv1alpha1.ModeObserve {
				overlapping[other.Name] = true
			}
		}
		if !pod.DrainSince.IsZero() {
			// Asked as a dry run: nothing is claimed, and nothing annotated.
			verdict := r.Judge.Evict(ctx, decide.Request{Eviction: true, Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, DryRun: true})
			if verdict.State.Pod != nil && verdict.State.Pod.UID == pod.UID {
				s.Leaving = append(s.Leaving, decide.Leaving{Pod: pod, Decision: verdict.Decision})
			}
		}
	}
	for name := range overlapping {
		s.Overlapping = append(s.Overlapping, name)
	}
	slices.Sort(s.Overlapping)
	for _, lease := range r.Leases() {
		for _, h := range claims.Read(lease) {
			if h.Namespace != policy.Namespace || h.Policy != policy.Name {
				continue
			}
			_, waitsFor := decide.Release(h, r.see(ctx, h, policy, false), r.Patience, r.Judge.Now())
			s.Away = append(s.Away, decide.Away{Holder: h, WaitsFor: waitsFor})
		}
	}
	return s, true
}

// see finds what a holder's release depends on: its pod first, and then Kafka, so that Kafka's word is the younger.
func (o *Observer) see(ctx context.Context, h decide.Holder, policy *drainv1alpha1.KafkaDrainPolicy, live bool) decide.Seen {
	if policy == nil {
		return decide.Seen{PolicyGone: true}
	}
	var seen decide.Seen
	pod, err := o.Sources.Pod(ctx, h.Namespace, h.Pod, live)
	if err != nil {
		// As long as nobody knows, the pod counts as leaving.
		return decide.Seen{Pod: &decide.Pod{UID: h.UID, Terminating: true}}
	}
	seen.Pod = pod
	if h.BrokerID == nil {
		if seen.Connector, err = o.Sources.Connector(ctx, h.Namespace, h.Connector); err != nil {
			seen.Connector = &decide.Connector{}
		}
		return seen
	}
	since := time.Time{}
	if live {
		since = o.Judge.Now()
	}
	seen.Cluster, seen.Fault = o.Judge.Kafka.Query(ctx, policy, since)
	return seen
}

// Observer is what both reconcilers see with.
type Observer struct {
	Sources Sources
	Judge   *judge.Judge
	// Leases are the claims that a cache knows of.
	Leases   func() []*coordinationv1.Lease
	Patience decide.Patience
}
