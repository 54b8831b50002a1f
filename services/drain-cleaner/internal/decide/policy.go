package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
)

// DefaultOperatorDownAfter is how long an operator has where the policy does not say.
const DefaultOperatorDownAfter = 5 * time.Minute

// Forgotten is how long after its last eviction a drain that nobody asks for again is over: the next one begins anew, with a
// deadline of its own.
const Forgotten = 10 * time.Minute

// Draining tells since when a pod's eviction has been asked for; false where nobody does.
func (p *Pod) Draining(now time.Time) (since time.Time, draining bool) {
	if p.DrainSince.IsZero() || now.Sub(p.DrainLast) > Forgotten {
		return time.Time{}, false
	}
	return p.DrainSince, true
}

// policyFindings in the order in which they are asked, for the policy of a pod.
var policyFindings = []func(s State, p *drainv1alpha1.KafkaDrainPolicy, now time.Time) (Decision, bool){
	nodeIsNotDrained,
	podIsPinnedToNode,
	operatorRolls,
	clusterFeelsIt,
	connectorFeelsIt,
	claimIsNeeded,
	nothingFeelsIt,
}

// policyOnlyObserves allows, and tells what the policy would have said.
func policyOnlyObserves(s State, now time.Time) (Decision, bool) {
	if len(acting(s.Policies)) > 0 {
		return next, false
	}
	p := s.Policies[0]
	as := p.DeepCopy()
	as.Spec.Mode = drainv1alpha1.ModeDelegate
	if p.Spec.BootstrapServers != "" || p.Spec.Role == drainv1alpha1.RoleConnect {
		as.Spec.Mode = drainv1alpha1.ModeSelfCheck
	}
	looking := s
	// A dry run claims nothing.
	looking.Request.DryRun = true
	observed := follow(looking, as, now)
	if observed.Need != NeedNothing {
		return observed, true
	}
	observed.Roll, observed.Record = false, false
	said := "allowed"
	if !observed.Allow {
		said = "denied"
	}
	d, _ := allow(ObservedOnly, fmt.Sprintf("the policy only observes; it would have %s this: %s: %s", said, observed.Reason, observed.Message))
	d.Policy, d.Record, d.Observed = p, true, &observed
	d.BrokerID, d.Blocking = observed.BrokerID, observed.Blocking
	return d, true
}

func policyDecides(s State, now time.Time) (Decision, bool) {
	d := follow(s, acting(s.Policies)[0], now)
	return d, true
}

// follow asks the findings of a policy, and then its deadline.
func follow(s State, p *drainv1alpha1.KafkaDrainPolicy, now time.Time) Decision {
	var d Decision
	for _, look := range policyFindings {
		found := false
		if d, found = look(s, p, now); found {
			break
		}
	}
	d.Policy, d.Record = p, true
	if d.Need != NeedNothing || d.Allow || d.Final || !overdue(s.Pod, p, now) {
		return d
	}
	d.Overdue = true
	if p.Spec.OnDeadline != drainv1alpha1.OnDeadlineAllow {
		d.Message = fmt.Sprintf("past the deadline of %s: %s", p.Spec.DrainDeadline.Duration, d.Message)
		return d
	}
	d.Allow, d.Roll = true, false
	d.Message = fmt.Sprintf("past the deadline of %s, after which spec.onDeadline allows it, although: %s: %s", p.Spec.DrainDeadline.Duration, d.Reason, d.Message)
	d.Reason = DeadlinePassed
	return d
}

func overdue(pod *Pod, p *drainv1alpha1.KafkaDrainPolicy, now time.Time) bool {
	since, draining := pod.Draining(now)
	return p.Spec.DrainDeadline != nil && draining && now.Sub(since) >= p.Spec.DrainDeadline.Duration
}

func nodeIsNotDrained(s State, p *drainv1alpha1.KafkaDrainPolicy, _ time.Time) (Decision, bool) {
	if p.Spec.RequireNodeCordoned != nil && !*p.Spec.RequireNodeCordoned {
		return next, false
	}
	return nodeIsNotCordoned(s)
}

func podIsPinnedToNode(s State, p *drainv1alpha1.KafkaDrainPolicy, _ time.Time) (Decision, bool) {
	if p.Spec.LocalVolumePolicy != drainv1alpha1.LocalVolumeDeny || len(s.Pod.Claims) == 0 {
		return next, false
	}
	switch {
	case !s.Known[NeedVolumes]:
		return need(NeedVolumes)
	case s.Failure != "":
		return deny(LookupFailed, s.Failure)
	case len(s.Pinned) == 0:
		return next, false
	}
	d, _ := deny(PodPinnedToNode, fmt.Sprintf("the pod could come back to node %s only, where its volume %s is; move the data, or set spec.localVolumePolicy to AllowPending",
		s.Pod.Node, strings.Join(s.Pinned, ", ")))
	d.Final = true
	return d, true
}

// operatorRolls hands the pod to its operator, as long as that is there.
func operatorRolls(s State, p *drainv1alpha1.KafkaDrainPolicy, now time.Time) (Decision, bool) {
	if p.Spec.Mode != drainv1alpha1.ModeDelegate {
		return next, false
	}
	patience := DefaultOperatorDownAfter
	if p.Spec.OperatorDownAfter != nil {
		patience = p.Spec.OperatorDownAfter.Duration
	}
	since, draining := s.Pod.Draining(now)
	if s.Pod.RollRequested && draining && now.Sub(since) >= patience {
		if p.Spec.BootstrapServers != "" {
			return next, false
		}
		return deny(OperatorDown, fmt.Sprintf("nobody has rolled the pod in the %s since it was asked for; is its operator running? With spec.bootstrapServers the drain could go on without it",
			now.Sub(since).Truncate(time.Second)))
	}
	if p.Spec.Role == drainv1alpha1.RoleConnect {
		if d, found := connectorFeelsIt(s, p, now); found {
			return d, true
		}
	}
	message := "The pod will be rolled by its operator"
	if strimziPod(s.Pod) {
		message = MessageRolledByStrimzi
	}
	d, _ := deny(RollRequested, message)
	d.Roll = !s.Pod.RollRequested
	return d, true
}

func strimziPod(p *Pod) bool {
	return strimziRolls(Settings{DrainKafka: true, DrainZooKeeper: true}, p)
}

func clusterFeelsIt(s State, p *drainv1alpha1.KafkaDrainPolicy, _ time.Time) (Decision, bool) {
	if p.Spec.Role == drainv1alpha1.RoleConnect {
		return next, false
	}
	switch {
	case !s.Known[NeedKafka]:
		return need(NeedKafka)
	case s.Cluster == nil:
		return deny(s.KafkaFault.Reason, s.KafkaFault.Message)
	case !s.Known[NeedHolders]:
		return need(NeedHolders)
	case s.Failure != "":
		return deny(LookupFailed, s.Failure)
	}
	id, fault := Identify(p.Spec.BrokerID, s.Pod, s.Cluster)
	if fault.Reason != "" {
		return deny(fault.Reason, fault.Message)
	}
	verdict := s.Cluster.CheckRemoval(id, p.Spec.Role, int(p.Spec.MinISRHeadroom), nil)
	if verdict.Reason == "" {
		// Where Kafka has nothing against it but for those that were let go, it is they who are waited for.
		if verdict = s.Cluster.CheckRemoval(id, p.Spec.Role, int(p.Spec.MinISRHeadroom), away(s.Holders, s.Pod)); verdict.Reason == "" {
			return next, false
		}
		verdict.Reason, verdict.Message = AnotherDrain, anotherDrain(s, p)
	}
	d, _ := deny(verdict.Reason, verdict.Message)
	d.BrokerID, d.Blocking = &id, verdict.Blocking
	return d, true
}

// away are the brokers that may be down already, or are about to be.
func away(holders []Holder, pod *Pod) []int32 {
	var ids []int32
	for _, h := range holders {
		if h.UID != pod.UID && h.BrokerID != nil {
			ids = append(ids, *h.BrokerID)
		}
	}
	return ids
}

func claimIsNeeded(s State, p *drainv1alpha1.KafkaDrainPolicy, _ time.Time) (Decision, bool) {
	switch {
	case !s.Known[NeedHolders]:
		return need(NeedHolders)
	case s.Failure != "":
		return deny(LookupFailed, s.Failure)
	}
	if !s.Claimed && !Room(s.Holders, s.Pod.UID, int(p.Spec.MaxConcurrent)) {
		return deny(AnotherDrain, anotherDrain(s, p))
	}
	if s.Claimed || s.Request.DryRun {
		return next, false
	}
	return need(NeedClaim)
}

// anotherDrain names who is waited for. Those of other policies may be of another cluster, whose brokers only say the same id: nobody
// can tell but people.
func anotherDrain(s State, p *drainv1alpha1.KafkaDrainPolicy) string {
	var names, others []string
	for _, h := range s.Holders {
		if h.UID == s.Pod.UID {
			continue
		}
		names = append(names, h.Namespace+"/"+h.Pod)
		if other := h.Namespace + "/" + h.Policy; h.BrokerID != nil && h.Policy != "" && other != p.Namespace+"/"+p.Name && !slices.Contains(others, other) {
			others = append(others, other)
		}
	}
	slices.Sort(names)
	slices.Sort(others)
	message := "waiting for " + strings.Join(names, ", ") + " to be back in sync"
	if len(others) == 0 || s.Cluster == nil {
		return message
	}
	return fmt.Sprintf("%s, let go by policy %s, whose brokers have this cluster's id %s; if theirs is another cluster, give one of the policies a spec.clusterName",
		message, strings.Join(others, ", "), s.Cluster.ID)
}

func nothingFeelsIt(s State, p *drainv1alpha1.KafkaDrainPolicy, _ time.Time) (Decision, bool) {
	d, _ := allow(Safe, "all that the pod shares stays in sync without it")
	if s.Cluster != nil && p.Spec.Role != drainv1alpha1.RoleConnect {
		if id, fault := Identify(p.Spec.BrokerID, s.Pod, s.Cluster); fault.Reason == "" {
			d.BrokerID = &id
			if warning := s.Cluster.RemovalWarning(id); warning != "" {
				d.Message += "; " + warning
			}
		}
	}
	return d, true
}
