package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
)

// DefaultOperatorDownAfter is the default of spec.operatorDownAfter.
const DefaultOperatorDownAfter = 5 * time.Minute

// DrainTimeout is how long after its last eviction request a drain is over. A later request starts a new drain with a
// deadline of its own.
const DrainTimeout = 10 * time.Minute

// Draining returns when the current drain of the pod began. It returns false if no drain is in progress.
func (p *Pod) Draining(now time.Time) (since time.Time, draining bool) {
	if p.DrainSince.IsZero() || now.Sub(p.DrainLast) > DrainTimeout {
		return time.Time{}, false
	}
	return p.DrainSince, true
}

// policyRule decides one case for the policy of a pod.
type policyRule func(s State, p *drainv1alpha1.KafkaDrainPolicy, now time.Time) (Decision, bool)

// policyRules in the order in which they apply. The last one always decides.
var policyRules = []policyRule{
	nodeNotDraining,
	podPinnedToNode,
	operatorRolls,
	kafkaNeedsPod,
	connectorNeedsPod,
	anotherDrain,
	blockedByBudget,
	claimMissing,
	safe,
}

// policyDecides applies the rules of the policy and then its deadline.
func policyDecides(s State, now time.Time) (Decision, bool) {
	p := acting(s.Policies.Value())[0]
	var d Decision
	for _, decide := range policyRules {
		applies := false
		if d, applies = decide(s, p, now); applies {
			break
		}
	}
	d.Policy, d.Record = p, true
	if d.Need != NeedNothing || d.Allow || d.IgnoresDeadline || !overdue(s.Pod.Value(), p, now) {
		return d, true
	}
	d.Overdue = true
	if p.Spec.OnDeadline != drainv1alpha1.OnDeadlineAllow {
		d.Message = fmt.Sprintf("past the deadline of %s: %s", p.Spec.DrainDeadline.Duration, d.Message)
		return d, true
	}
	d.Allow, d.Roll = true, false
	d.Message = fmt.Sprintf("past the deadline of %s, and spec.onDeadline is Allow; otherwise denied: %s: %s",
		p.Spec.DrainDeadline.Duration, d.Reason, d.Message)
	d.Reason = drainv1alpha1.ReasonDeadlinePassed
	return d, true
}

// overdue reports whether the drain of the pod is past the policy's deadline.
func overdue(pod *Pod, p *drainv1alpha1.KafkaDrainPolicy, now time.Time) bool {
	since, draining := pod.Draining(now)
	return p.Spec.DrainDeadline != nil && draining && now.Sub(since) >= p.Spec.DrainDeadline.Duration
}

func nodeNotDraining(s State, p *drainv1alpha1.KafkaDrainPolicy, _ time.Time) (Decision, bool) {
	if p.Spec.RequireNodeCordoned != nil && !*p.Spec.RequireNodeCordoned {
		return pass()
	}
	return nodeNotCordoned(s)
}

func podPinnedToNode(s State, p *drainv1alpha1.KafkaDrainPolicy, _ time.Time) (Decision, bool) {
	if p.Spec.LocalVolumePolicy != drainv1alpha1.LocalVolumeDeny || len(s.Pod.Value().Claims) == 0 {
		return pass()
	}
	switch {
	case !s.Volumes.Read():
		return need(NeedVolumes)
	case s.Volumes.Failed():
		return s.Volumes.denial()
	case len(s.Volumes.Value()) == 0:
		return pass()
	}
	d, _ := deny(drainv1alpha1.ReasonPodPinnedToNode, fmt.Sprintf("only node %s can mount volume claim %s of the pod; "+
		"move the data, or set spec.localVolumePolicy to AllowPending", s.Pod.Value().Node,
		strings.Join(s.Volumes.Value(), ", ")))
	d.IgnoresDeadline, d.NeedsAction = true, true
	return d, true
}

// operatorRolls hands the pod to its operator as long as the operator acts.
func operatorRolls(s State, p *drainv1alpha1.KafkaDrainPolicy, now time.Time) (Decision, bool) {
	if p.Spec.Mode != drainv1alpha1.ModeDelegate {
		return pass()
	}
	pod, downAfter := s.Pod.Value(), DefaultOperatorDownAfter
	if p.Spec.OperatorDownAfter != nil {
		downAfter = p.Spec.OperatorDownAfter.Duration
	}
	since, draining := pod.Draining(now)
	if pod.RollRequested && draining && now.Sub(since) >= downAfter {
		if p.Spec.BootstrapServers != "" {
			return pass()
		}
		d, _ := deny(drainv1alpha1.ReasonOperatorDown, fmt.Sprintf("no operator rolled the pod within %s of the request; "+
			"check that its operator runs, or set spec.bootstrapServers to drain without it",
			now.Sub(since).Truncate(time.Second)))
		d.NeedsAction = true
		return d, true
	}
	if d, applies := connectorNeedsPod(s, p, now); applies {
		return d, true
	}
	message := "The pod will be rolled by its operator"
	if strimziRolls(Settings{DrainKafka: true, DrainZooKeeper: true}, pod) {
		message = MessageRolledByStrimzi
	}
	d, _ := deny(drainv1alpha1.ReasonRollRequested, message)
	d.Roll = !pod.RollRequested
	return d, true
}

// kafkaNeedsPod denies while partitions or the KRaft quorum need the pod.
func kafkaNeedsPod(s State, p *drainv1alpha1.KafkaDrainPolicy, _ time.Time) (Decision, bool) {
	if p.Spec.Role == drainv1alpha1.RoleConnect {
		return pass()
	}
	switch {
	case !s.Cluster.Read():
		return need(NeedKafka)
	case s.Cluster.Failed():
		return s.Cluster.denial()
	case !s.Holders.Read():
		return need(NeedHolders)
	case s.Holders.Failed():
		return s.Holders.denial()
	}
	pod, cluster, headroom := s.Pod.Value(), s.Cluster.Value(), int(p.Spec.MinISRHeadroom)
	id, fault := Identify(p.Spec.BrokerID, pod, cluster)
	if fault.Reason != "" {
		return deny(fault.Reason, fault.Message)
	}
	verdict := cluster.CheckRemoval(id, p.Spec.Role, headroom, nil)
	if verdict.Reason == "" {
		// If Kafka could spare the pod alone, the drain waits for the pods that were evicted before it.
		away := brokersOf(s.Holders.Value(), pod)
		verdict = cluster.CheckRemoval(id, p.Spec.Role, headroom, away)
		if verdict.Reason != "" {
			verdict.Reason, verdict.Message = drainv1alpha1.ReasonAnotherDrain, waitsForHolders(s, p)
		} else {
			verdict = cluster.CheckSilent(id, p.Spec.Role, headroom, away)
		}
	}
	if verdict.Reason == "" {
		return pass()
	}
	d, _ := deny(verdict.Reason, verdict.Message)
	d.BrokerID, d.Blocking = &id, verdict.Blocking
	return d, true
}

// brokersOf returns the brokers of the other holders. They may be down already.
func brokersOf(holders []Holder, pod *Pod) []int32 {
	var ids []int32
	for _, h := range holders {
		if h.UID != pod.UID && h.BrokerID != nil {
			ids = append(ids, *h.BrokerID)
		}
	}
	return ids
}

// anotherDrain denies while as many pods as the policy allows have a claim.
func anotherDrain(s State, p *drainv1alpha1.KafkaDrainPolicy, _ time.Time) (Decision, bool) {
	switch {
	case !s.Holders.Read():
		return need(NeedHolders)
	case s.Holders.Failed():
		return s.Holders.denial()
	case s.Claimed.Value() || CanClaim(s.Holders.Value(), s.Pod.Value().UID, int(p.Spec.MaxConcurrent)):
		return pass()
	}
	return deny(drainv1alpha1.ReasonAnotherDrain, waitsForHolders(s, p))
}

// claimMissing asks for a claim after everything else has been confirmed. A dry run makes no claim.
func claimMissing(s State, _ *drainv1alpha1.KafkaDrainPolicy, _ time.Time) (Decision, bool) {
	switch {
	case s.Request.DryRun || s.Claimed.Value():
		return pass()
	case s.Claimed.Failed():
		return s.Claimed.denial()
	}
	if n := s.unconfirmed(Decision{}); n != NeedNothing {
		return Decision{Need: n, Live: true}, true
	}
	return need(NeedClaim)
}

// waitsForHolders names the pods that the drain waits for. Holders of other policies may belong to another cluster with
// the same cluster ID, which only the user can know.
func waitsForHolders(s State, p *drainv1alpha1.KafkaDrainPolicy) string {
	var names, others []string
	for _, h := range s.Holders.Value() {
		if h.UID == s.Pod.Value().UID {
			continue
		}
		names = append(names, h.Namespace+"/"+h.Pod)
		other := h.Namespace + "/" + h.Policy
		isOther := h.BrokerID != nil && h.Policy != "" && other != p.Namespace+"/"+p.Name
		if isOther && !slices.Contains(others, other) {
			others = append(others, other)
		}
	}
	slices.Sort(names)
	slices.Sort(others)
	message := "waiting until " + strings.Join(names, ", ") + " is replaced and in sync"
	if len(others) == 0 || s.Cluster.Value() == nil {
		return message
	}
	return fmt.Sprintf("%s; its eviction was allowed by policy %s, whose brokers have the same cluster ID %s; if they "+
		"are another cluster, set spec.clusterName in one of the policies", message, strings.Join(others, ", "),
		s.Cluster.Value().ID)
}

func safe(s State, p *drainv1alpha1.KafkaDrainPolicy, _ time.Time) (Decision, bool) {
	d, _ := allow(drainv1alpha1.ReasonSafe, "everything that depends on the pod stays available without it")
	if cluster := s.Cluster.Value(); cluster != nil && p.Spec.Role != drainv1alpha1.RoleConnect {
		if id, fault := Identify(p.Spec.BrokerID, s.Pod.Value(), cluster); fault.Reason == "" {
			d.BrokerID = &id
			if warning := cluster.RemovalWarning(id); warning != "" {
				d.Message += "; " + warning
			}
		}
	}
	return d, true
}
