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

// uncordonedFor is how long a pod on a node that nobody drains keeps the record of its drain after the last eviction.
const uncordonedFor = time.Minute

// DrainingPod is a pod whose eviction has been asked for, and what would be answered now.
type DrainingPod struct {
	Pod *Pod
	Decision
}

// Away is a holder of a claim, and what it waits for.
type HolderState struct {
	Holder
	WaitsFor string
}

// PolicyState is what the status of a policy is made of.
type PolicyState struct {
	Policy *drainv1alpha1.KafkaDrainPolicy
	// Pods is how many pods the policy selects.
	Pods int
	// Overlapping are other policies that select one of them too.
	Overlapping []string
	// Kafka is whether the brokers answered; Fault says why not. Meaningless without bootstrapServers.
	Kafka bool
	Fault Fault
	// DrainingPod are pods with the record of a drain, Holders those that were let go.
	Draining []DrainingPod
	Holders  []HolderState
}

// StatusPlan is what a reconcile of a policy is to do.
type StatusPlan struct {
	Status drainv1alpha1.KafkaDrainPolicyStatus
	// Forget are pods whose drain was given up: the record of it is to go.
	RemoveRecords []*Pod
}

// Status says what the status of a policy should be.
func Status(s PolicyState, now time.Time) StatusPlan {
	var plan StatusPlan
	plan.Status.ObservedGeneration, plan.Status.Pods = s.Policy.Generation, int32(s.Pods)
	for _, a := range s.Holders {
		plan.Status.Drains = append(plan.Status.Drains, drainv1alpha1.Drain{
			Pod: a.Pod, UID: a.UID, Node: a.Node, BrokerID: a.BrokerID, Since: metav1.NewTime(a.First.Truncate(time.Second)),
			Phase: drainv1alpha1.DrainReplacing, Reason: string(Replacing), Message: a.WaitsFor,
		})
	}
	for _, l := range s.Draining {
		switch {
		case slices.ContainsFunc(s.Holders, func(a HolderState) bool { return a.UID == l.Pod.UID }):
		case givenUp(l, now):
			plan.RemoveRecords = append(plan.RemoveRecords, l.Pod)
		default:
			plan.Status.Drains = append(plan.Status.Drains, drain(l))
		}
	}
	slices.SortFunc(plan.Status.Drains, func(a, b drainv1alpha1.Drain) int {
		return strings.Compare(a.Pod+"/"+string(a.UID), b.Pod+"/"+string(b.UID))
	})
	plan.Status.Conditions = condition.Merge(s.Policy.Status.Conditions, conditions(s, plan.Status.Drains), s.Policy.Generation, now)
	return plan
}

// givenUp tells that nobody drains the pod any longer.
func givenUp(l DrainingPod, now time.Time) bool {
	_, draining := l.Pod.Draining(now)
	return !draining || (l.Reason == NodeNotCordoned || l.Reason == PodMoved) && now.Sub(l.Pod.DrainLast) > uncordonedFor
}

func drain(l DrainingPod) drainv1alpha1.Drain {
	d := drainv1alpha1.Drain{
		Pod: l.Pod.Name, UID: l.Pod.UID, Node: l.Pod.Node, BrokerID: l.BrokerID, Phase: phase(l.Decision),
		Reason: string(l.Reason), Message: l.Message, Attempts: l.Pod.Attempts, Since: metav1.NewTime(l.Pod.DrainSince.Truncate(time.Second)),
		BlockingPartitions: l.Blocking[:min(len(l.Blocking), maxListed)], BlockingPartitionCount: int32(len(l.Blocking)),
	}
	if l.Allow && l.Observed == nil {
		d.Message = "the next eviction is allowed: " + l.Message
	}
	return d
}

func phase(d Decision) drainv1alpha1.DrainPhase {
	switch {
	case d.Observed != nil:
		return drainv1alpha1.DrainObserved
	case d.Allow:
		return drainv1alpha1.DrainWaiting
	case d.Final, d.Overdue, d.Reason == OperatorDown:
		return drainv1alpha1.DrainBlocked
	case d.Reason == RollRequested:
		return drainv1alpha1.DrainRolling
	}
	return drainv1alpha1.DrainWaiting
}

func conditions(s PolicyState, drains []drainv1alpha1.Drain) []metav1.Condition {
	all := []metav1.Condition{ready(s)}
	if s.Policy.Spec.BootstrapServers != "" {
		all = append(all, reachable(s))
	}
	if len(drains) == 0 {
		return append(all, condition.False(drainv1alpha1.ConditionDraining, string(NoDrain), "no pod is to leave"),
			condition.False(drainv1alpha1.ConditionBlocked, string(NothingBlocked), "no drain waits for anybody"))
	}
	var names, blocked []string
	for _, d := range drains {
		names = append(names, d.Pod)
		if d.Phase == drainv1alpha1.DrainBlocked {
			blocked = append(blocked, fmt.Sprintf("%s: %s: %s", d.Pod, d.Reason, d.Message))
		}
	}
	all = append(all, condition.True(drainv1alpha1.ConditionDraining, string(PodsDraining), "on their way: "+list(names)))
	if len(blocked) == 0 {
		return append(all, condition.False(drainv1alpha1.ConditionBlocked, string(NothingBlocked), "every drain goes on by itself"))
	}
	return append(all, condition.True(drainv1alpha1.ConditionBlocked, string(DrainBlocked), list(blocked)))
}

func ready(s PolicyState) metav1.Condition {
	switch {
	case len(s.Overlapping) > 0:
		return condition.False(drainv1alpha1.ConditionReady, string(PoliciesOverlap),
			"pods of this policy are selected by "+list(s.Overlapping)+" too, and their evictions are denied; change the podSelector of all but one")
	case s.Policy.Spec.BootstrapServers != "" && !s.Kafka && s.Policy.Spec.Mode == drainv1alpha1.ModeSelfCheck:
		return condition.False(drainv1alpha1.ConditionReady, string(s.Fault.Reason), "Kafka cannot be asked; see the condition "+drainv1alpha1.ConditionKafkaReachable)
	}
	return condition.True(drainv1alpha1.ConditionReady, string(PolicyActive), "the policy is followed")
}

// reachable keeps the words of a fault that lasts: which broker is named is chance.
func reachable(s PolicyState) metav1.Condition {
	if s.Kafka {
		return condition.True(drainv1alpha1.ConditionKafkaReachable, string(KafkaAnswers), "the brokers answer")
	}
	for _, before := range s.Policy.Status.Conditions {
		if before.Type == drainv1alpha1.ConditionKafkaReachable && before.Reason == string(s.Fault.Reason) && before.ObservedGeneration == s.Policy.Generation {
			return condition.False(before.Type, before.Reason, before.Message)
		}
	}
	return condition.False(drainv1alpha1.ConditionKafkaReachable, string(s.Fault.Reason), s.Fault.Message)
}
