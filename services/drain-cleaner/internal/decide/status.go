package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/condition"
)

// uncordonedTimeout is how long after its last eviction request a pod on a node that is not cordoned keeps its record.
const uncordonedTimeout = time.Minute

// DrainingPod is a pod whose eviction was requested, and the decision on an eviction now.
type DrainingPod struct {
	Pod *Pod
	Decision
}

// HolderState is a holder of a claim and what it waits for.
type HolderState struct {
	Holder
	WaitsFor string
}

// PolicyState is the state that the status of a policy is computed from.
type PolicyState struct {
	Policy *drainv1alpha1.KafkaDrainPolicy
	// Pods is the number of pods that the policy selects.
	Pods int
	// Overlapping are the names of other policies that select one of the pods.
	Overlapping []string
	// Kafka is true if the brokers answered. Otherwise Fault is the reason. Both are meaningless without
	// spec.bootstrapServers.
	Kafka bool
	Fault Fault
	// Draining are the pods that have the record of a drain.
	Draining []DrainingPod
	// Holders are the pods whose eviction was allowed and whose replacement is not in sync yet.
	Holders []HolderState
}

// StatusPlan lists the writes of a policy's reconcile.
type StatusPlan struct {
	Status drainv1alpha1.KafkaDrainPolicyStatus
	// RemoveRecords are pods whose drain ended without an eviction. The annotation of the drain is removed.
	RemoveRecords []*Pod
}

// Status computes the status of a policy.
func Status(s PolicyState, now time.Time) StatusPlan {
	var plan StatusPlan
	plan.Status.ObservedGeneration, plan.Status.Pods = s.Policy.Generation, int32(s.Pods)
	for _, h := range s.Holders {
		if !blocked(s.Draining, h) {
			plan.Status.Drains = append(plan.Status.Drains, replacing(h))
		}
	}
	for _, d := range s.Draining {
		isHolder := slices.ContainsFunc(s.Holders, func(h HolderState) bool { return h.UID == d.Pod.UID })
		switch {
		case isHolder && d.Reason != drainv1alpha1.ReasonBlockedByBudget:
		case ended(d, now):
			plan.RemoveRecords = append(plan.RemoveRecords, d.Pod)
		default:
			plan.Status.Drains = append(plan.Status.Drains, drain(d))
		}
	}
	slices.SortFunc(plan.Status.Drains, func(a, b drainv1alpha1.Drain) int {
		return strings.Compare(a.Pod+"/"+string(a.UID), b.Pod+"/"+string(b.UID))
	})
	wanted := conditions(s, plan.Status.Drains)
	plan.Status.Conditions = condition.Merge(s.Policy.Status.Conditions, wanted, s.Policy.Generation, now)
	return plan
}

// blocked reports whether a PodDisruptionBudget prevents the eviction of a holder. Its claim ends by itself.
func blocked(draining []DrainingPod, h HolderState) bool {
	return slices.ContainsFunc(draining, func(d DrainingPod) bool {
		return d.Pod.UID == h.UID && d.Reason == drainv1alpha1.ReasonBlockedByBudget
	})
}

func replacing(h HolderState) drainv1alpha1.Drain {
	return drainv1alpha1.Drain{
		Pod: h.Pod, UID: h.UID, Node: h.Node, BrokerID: h.BrokerID,
		Since: metav1.NewTime(h.First.Truncate(time.Second)), Phase: drainv1alpha1.DrainReplacing,
		Reason: string(drainv1alpha1.ReasonReplacing), Message: h.WaitsFor,
	}
}

// ended reports whether the eviction of the pod is no longer requested.
func ended(d DrainingPod, now time.Time) bool {
	_, draining := d.Pod.Draining(now)
	uncordoned := d.Reason == drainv1alpha1.ReasonNodeNotCordoned || d.Reason == drainv1alpha1.ReasonPodMoved
	return !draining || uncordoned && now.Sub(d.Pod.DrainLast) > uncordonedTimeout
}

func drain(p DrainingPod) drainv1alpha1.Drain {
	d := drainv1alpha1.Drain{
		Pod: p.Pod.Name, UID: p.Pod.UID, Node: p.Pod.Node, BrokerID: p.BrokerID, Phase: phase(p.Decision),
		Reason: string(p.Reason), Message: p.Message, Attempts: p.Pod.Attempts,
		Since:                  metav1.NewTime(p.Pod.DrainSince.Truncate(time.Second)),
		BlockingPartitions:     p.Blocking[:min(len(p.Blocking), maxListed)],
		BlockingPartitionCount: int32(len(p.Blocking)),
	}
	if p.Allow && p.Observed == nil {
		d.Message = "the next eviction will be allowed: " + p.Message
	}
	return d
}

func phase(d Decision) drainv1alpha1.DrainPhase {
	switch {
	case d.Observed != nil:
		return drainv1alpha1.DrainObserved
	case d.Allow:
		return drainv1alpha1.DrainWaiting
	case d.NeedsAction, d.Overdue:
		return drainv1alpha1.DrainBlocked
	case d.Reason == drainv1alpha1.ReasonRollRequested:
		return drainv1alpha1.DrainRolling
	}
	return drainv1alpha1.DrainWaiting
}

// conditions returns all conditions of the policy.
func conditions(s PolicyState, drains []drainv1alpha1.Drain) []metav1.Condition {
	all := []metav1.Condition{readyCondition(s)}
	if s.Policy.Spec.BootstrapServers != "" {
		all = append(all, kafkaCondition(s))
	}
	if len(drains) == 0 {
		return append(all,
			condition.False(drainv1alpha1.ConditionDraining, string(drainv1alpha1.ReasonNoDrain),
				"no pod is being drained"),
			condition.False(drainv1alpha1.ConditionBlocked, string(drainv1alpha1.ReasonNothingBlocked),
				"no drain needs an action"))
	}
	var names, blocked []string
	for _, d := range drains {
		names = append(names, d.Pod)
		if d.Phase == drainv1alpha1.DrainBlocked {
			blocked = append(blocked, fmt.Sprintf("%s: %s: %s", d.Pod, d.Reason, d.Message))
		}
	}
	all = append(all, condition.True(drainv1alpha1.ConditionDraining, string(drainv1alpha1.ReasonPodsDraining),
		"draining: "+list(names)))
	if len(blocked) == 0 {
		return append(all, condition.False(drainv1alpha1.ConditionBlocked,
			string(drainv1alpha1.ReasonNothingBlocked), "no drain needs an action"))
	}
	return append(all, condition.True(drainv1alpha1.ConditionBlocked, string(drainv1alpha1.ReasonDrainBlocked),
		list(blocked)))
}

func readyCondition(s PolicyState) metav1.Condition {
	spec := s.Policy.Spec
	switch {
	case len(s.Overlapping) > 0:
		return condition.False(drainv1alpha1.ConditionReady, string(drainv1alpha1.ReasonPoliciesOverlap),
			"pods of this policy are also selected by "+list(s.Overlapping)+", so their evictions are denied; change "+
				"spec.podSelector of all but one")
	case spec.BootstrapServers != "" && !s.Kafka && spec.Mode == drainv1alpha1.ModeSelfCheck:
		return condition.False(drainv1alpha1.ConditionReady, string(s.Fault.Reason),
			"Kafka cannot be queried; see condition "+drainv1alpha1.ConditionKafkaReachable)
	case s.Pods == 0:
		return condition.False(drainv1alpha1.ConditionReady, string(drainv1alpha1.ReasonNoPodsSelected),
			"spec.podSelector selects no pod of the namespace; compare it with kubectl get pods --show-labels")
	}
	return condition.True(drainv1alpha1.ConditionReady, string(drainv1alpha1.ReasonPolicyActive),
		"the policy is in effect")
}

// kafkaCondition keeps the message of a fault that lasts: the broker that it names changes at random.
func kafkaCondition(s PolicyState) metav1.Condition {
	if s.Kafka {
		return condition.True(drainv1alpha1.ConditionKafkaReachable, string(drainv1alpha1.ReasonKafkaAnswers),
			"the brokers answer")
	}
	reason := string(s.Fault.Reason)
	for _, c := range s.Policy.Status.Conditions {
		isSame := c.Type == drainv1alpha1.ConditionKafkaReachable && c.Reason == reason
		if isSame && c.ObservedGeneration == s.Policy.Generation {
			return condition.False(c.Type, c.Reason, c.Message)
		}
	}
	return condition.False(drainv1alpha1.ConditionKafkaReachable, reason, s.Fault.Message)
}
