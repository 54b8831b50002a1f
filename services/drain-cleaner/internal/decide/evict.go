package decide

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/weir-dev/weir/apis/contract"
	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
)

// rule decides one case. It returns false if the case does not apply.
type rule func(s State, now time.Time) (Decision, bool)

// rules in the order in which they apply. The last one always decides.
var rules = []rule{
	notAnEviction,
	nameMissing,
	namespaceMissing,
	namespaceNotWatched,
	namespaceWithoutKafka,
	podUnreadable,
	podDeleted,
	policiesUnreadable,
	podNotProtected,
	policyObserves,
	protectedPod,
}

// protectedRules apply to pods that a policy selects or that Strimzi's operator rolls. The last one always decides.
var protectedRules = []rule{
	uidDiffers,
	podTerminating,
	podMoved,
	podFinished,
	podPending,
	policiesOverlap,
	noPolicy,
	policyDecides,
}

// firstOf returns the decision of the first rule that applies.
func firstOf(rules []rule, s State, now time.Time) (Decision, bool) {
	for _, decide := range rules {
		if d, applies := decide(s, now); applies {
			return d, true
		}
	}
	return pass()
}

// Evict decides a review. While the decision has a Need, read that input and call Evict again.
//
// A decision that releases a protected pod rests on live reads only: if an input comes from a cache, Evict asks for it
// again. This holds for all rules, also those that are added later.
func Evict(s State, now time.Time) Decision {
	d, applies := firstOf(rules, s, now)
	if !applies {
		return Decision{Reason: drainv1alpha1.ReasonLookupFailed, Message: "no rule applies"}
	}
	if s.Request.DryRun {
		d.Roll, d.Record = false, false
	}
	if !d.releases() {
		return d
	}
	return confirm(s, d)
}

// confirm returns the decision if its inputs are good enough to release the pod, else the need of a live read.
func confirm(s State, d Decision) Decision {
	if n := s.unconfirmed(d); n != NeedNothing {
		return Decision{Need: n, Live: true}
	}
	return d
}

// unconfirmed returns the first input that has to be read live before the decision releases the pod.
func (s State) unconfirmed(d Decision) Need {
	switch {
	case d.Observed != nil:
		// Mode Observe never denies. Only the policy itself has to be confirmed.
		if !s.Policies.Live() {
			return NeedPolicies
		}
		return NeedNothing
	case !s.Pod.atLeast(live):
		return NeedPod
	case s.Pod.Read() && !s.protected():
		// Policies that do not select the pod may come from a synced cache.
		if !s.Policies.atLeast(synced) {
			return NeedPolicies
		}
		return NeedNothing
	case !s.Policies.atLeast(live):
		return NeedPolicies
	case !s.Node.atLeast(live):
		return NeedNode
	case !s.Volumes.atLeast(live):
		return NeedVolumes
	case !s.Connector.atLeast(live):
		return NeedConnector
	case !s.Budgets.atLeast(live):
		return NeedBudgets
	}
	return NeedNothing
}

// protected reports whether a policy selects the pod or Strimzi's operator rolls it.
func (s State) protected() bool {
	return len(s.Policies.Value()) > 0 || s.Pod.Value() != nil && strimziRolls(s.Settings, s.Pod.Value())
}

func notAnEviction(s State, _ time.Time) (Decision, bool) {
	if s.Request.Eviction {
		return pass()
	}
	return allow(drainv1alpha1.ReasonNotAnEviction, "the object is not an Eviction of policy/v1 or policy/v1beta1")
}

func nameMissing(s State, _ time.Time) (Decision, bool) {
	if s.Request.Name != "" {
		return pass()
	}
	return allow(drainv1alpha1.ReasonNameMissing, "the Eviction has no pod name")
}

func namespaceMissing(s State, _ time.Time) (Decision, bool) {
	if s.Request.Namespace != "" {
		return pass()
	}
	return allow(drainv1alpha1.ReasonNamespaceMissing, "the Eviction has no namespace")
}

func namespaceNotWatched(s State, _ time.Time) (Decision, bool) {
	if len(s.Settings.Namespaces) == 0 || slices.Contains(s.Settings.Namespaces, s.Request.Namespace) {
		return pass()
	}
	return allow(drainv1alpha1.ReasonNamespaceNotWatched, "namespace "+s.Request.Namespace+" is not watched")
}

// namespaceWithoutKafka allows evictions without a request to the API server, so that a shortage of its capacity does
// not deny evictions in namespaces without Kafka.
func namespaceWithoutKafka(s State, _ time.Time) (Decision, bool) {
	switch {
	case !s.WithoutKafka.Read():
		return need(NeedNamespace)
	case !s.WithoutKafka.Value() || !s.WithoutKafka.atLeast(synced):
		return pass()
	}
	return allow(drainv1alpha1.ReasonNotProtected, "namespace "+s.Request.Namespace+" has no policy and no Kafka pods")
}

func podUnreadable(s State, _ time.Time) (Decision, bool) {
	switch {
	case !s.Pod.Read():
		return need(NeedPod)
	case s.Pod.Failed():
		return s.Pod.denial()
	}
	return pass()
}

func podDeleted(s State, _ time.Time) (Decision, bool) {
	if s.Pod.Value() != nil {
		return pass()
	}
	return allow(drainv1alpha1.ReasonPodGone, "the pod does not exist")
}

func policiesUnreadable(s State, _ time.Time) (Decision, bool) {
	switch {
	case !s.Policies.Read():
		return need(NeedPolicies)
	case s.Policies.Failed():
		return s.Policies.denial()
	}
	return pass()
}

func podNotProtected(s State, _ time.Time) (Decision, bool) {
	if s.protected() {
		return pass()
	}
	return allow(drainv1alpha1.ReasonNotProtected,
		"no policy selects the pod, and it is not a Kafka or ZooKeeper pod of Strimzi that is to be drained")
}

// policyObserves allows the eviction and reports what the policy would have decided in another mode.
func policyObserves(s State, now time.Time) (Decision, bool) {
	policies := s.Policies.Value()
	if len(policies) == 0 || len(acting(policies)) > 0 {
		return pass()
	}
	active := policies[0].DeepCopy()
	active.Spec.Mode = drainv1alpha1.ModeDelegate
	if active.Spec.BootstrapServers != "" || active.Spec.Role == drainv1alpha1.RoleConnect {
		active.Spec.Mode = drainv1alpha1.ModeSelfCheck
	}
	// As a dry run it makes no claim.
	as := s
	as.Request.DryRun = true
	as.Policies = FromCache([]*drainv1alpha1.KafkaDrainPolicy{active})
	observed, _ := firstOf(protectedRules, as, now)
	if observed.Need != NeedNothing {
		return observed, true
	}
	verb := "allowed"
	if !observed.Allow {
		verb = "denied"
	}
	d, _ := allow(drainv1alpha1.ReasonObservedOnly, fmt.Sprintf("the policy's mode is Observe; another mode would have "+
		"%s the eviction: %s: %s", verb, observed.Reason, observed.Message))
	d.Policy, d.Record, d.Observed = policies[0], observed.Record, &observed
	d.BrokerID, d.Blocking = observed.BrokerID, observed.Blocking
	observed.Roll, observed.Record = false, false
	return d, true
}

func protectedPod(s State, now time.Time) (Decision, bool) { return firstOf(protectedRules, s, now) }

// uidDiffers leaves the rejection to the API server.
func uidDiffers(s State, _ time.Time) (Decision, bool) {
	pod := s.Pod.Value()
	if s.Request.UID == "" || s.Request.UID == pod.UID {
		return pass()
	}
	return allow(drainv1alpha1.ReasonUIDDiffers,
		fmt.Sprintf("the eviction requires UID %s, the pod has UID %s", s.Request.UID, pod.UID))
}

func podTerminating(s State, _ time.Time) (Decision, bool) {
	if !s.Pod.Value().Terminating {
		return pass()
	}
	return allow(drainv1alpha1.ReasonPodTerminating, "the pod is terminating")
}

// podMoved ends the drain of a pod that was replaced. kubectl drain repeats the eviction by name, which would roll each
// replacement on its new node. The answer is 404 only if the node of the replacement is known not to be draining.
func podMoved(s State, now time.Time) (Decision, bool) {
	pod := s.Pod.Value()
	if s.Evicted == nil || s.Request.UID != "" {
		return pass()
	}
	switch {
	case !s.Node.Read():
		return need(NeedNode)
	case s.Node.Failed():
		d, _ := s.Node.denial()
		d.IgnoresDeadline = true
		return d, true
	case s.Node.Value().Forbidden:
		return podRecentlyReplaced(s, now)
	case pod.Node != "" && s.Node.Value().draining():
		return pass()
	}
	d, _ := deny(drainv1alpha1.ReasonPodMoved, "the evicted pod was replaced; its replacement is not on a node that "+
		"is being drained")
	d.NotFound, d.IgnoresDeadline = true, true
	return d, true
}

// podRecentlyReplaced applies if nodes cannot be read: it is not known then whether the drain of the old node or of the
// new node evicts the pod. A pod of one name is rolled at most once within ReplacementTimeout.
func podRecentlyReplaced(s State, now time.Time) (Decision, bool) {
	age := now.Sub(s.Evicted.At)
	if age >= s.Settings.replacementTimeout() || s.Pod.Value().Phase != corev1.PodRunning {
		return pass()
	}
	d, _ := deny(drainv1alpha1.ReasonPodRecentlyReplaced, fmt.Sprintf("the pod replaced one that was evicted %s ago, "+
		"and drain-cleaner has no permission to read node %s, so it cannot determine whether that node is being drained; "+
		"grant get on nodes, or wait %s", age.Truncate(time.Second), s.Pod.Value().Node,
		(s.Settings.replacementTimeout()-age).Truncate(time.Second)))
	d.IgnoresDeadline = true
	return d, true
}

func podFinished(s State, _ time.Time) (Decision, bool) {
	if phase := s.Pod.Value().Phase; phase != corev1.PodSucceeded && phase != corev1.PodFailed {
		return pass()
	}
	return allow(drainv1alpha1.ReasonPodFinished, "the pod has finished")
}

func podPending(s State, _ time.Time) (Decision, bool) {
	if s.Pod.Value().Phase != corev1.PodPending {
		return pass()
	}
	return allow(drainv1alpha1.ReasonPodPending, "the pod does not run yet")
}

// policiesOverlap does not apply to policies of mode Observe, which may select the pods of another policy.
func policiesOverlap(s State, _ time.Time) (Decision, bool) {
	acting := acting(s.Policies.Value())
	if len(acting) < 2 {
		return pass()
	}
	names := make([]string, len(acting))
	for i, p := range acting {
		names[i] = p.Name
	}
	d, _ := deny(drainv1alpha1.ReasonPoliciesOverlap, "more than one KafkaDrainPolicy selects the pod: "+
		strings.Join(names, ", ")+"; change spec.podSelector of all but one")
	d.Policy, d.IgnoresDeadline, d.NeedsAction, d.Record = acting[0], true, true, true
	return d, true
}

// acting returns the policies whose mode is not Observe.
func acting(policies []*drainv1alpha1.KafkaDrainPolicy) []*drainv1alpha1.KafkaDrainPolicy {
	var acting []*drainv1alpha1.KafkaDrainPolicy
	for _, p := range policies {
		if p.Spec.Mode != drainv1alpha1.ModeObserve {
			acting = append(acting, p)
		}
	}
	return acting
}

// noPolicy does what Strimzi's Drain Cleaner does.
func noPolicy(s State, _ time.Time) (Decision, bool) {
	if len(s.Policies.Value()) > 0 {
		return pass()
	}
	if s.Settings.RequireNodeCordoned {
		if d, applies := nodeNotCordoned(s); applies {
			d.Allow = d.Need == NeedNothing && !s.Settings.DenyEviction
			return d, true
		}
	}
	return Decision{
		Allow: !s.Settings.DenyEviction, Reason: drainv1alpha1.ReasonRollRequested, Message: MessageRolledByStrimzi,
		Roll: !s.Pod.Value().RollRequested,
	}, true
}

var (
	kafkaName     = regexp.MustCompile(`^.+-kafka$`)
	zooKeeperName = regexp.MustCompile(`^.+-zookeeper$`)
)

// strimziRolls reports whether the pod is one that Strimzi's Drain Cleaner would act on.
func strimziRolls(o Settings, p *Pod) bool {
	if p.Labels[contract.StrimziKind] != contract.StrimziKindKafka {
		return false
	}
	name := p.Labels[contract.StrimziName]
	return o.DrainKafka && kafkaName.MatchString(name) || o.DrainZooKeeper && zooKeeperName.MatchString(name)
}

// nodeNotCordoned denies if the node is not being drained. A node that cannot be read is not known to be either.
func nodeNotCordoned(s State) (Decision, bool) {
	node := s.Node.Value()
	switch {
	case !s.Node.Read():
		return need(NeedNode)
	case s.Node.Failed():
		return s.Node.denial()
	case node.draining():
		return pass()
	case node.Forbidden:
		return deny(drainv1alpha1.ReasonLookupFailed, "drain-cleaner has no permission to read node "+
			s.Pod.Value().Node+", so it cannot determine whether that node is cordoned; grant get on nodes")
	}
	name := s.Pod.Value().Node
	d, _ := deny(drainv1alpha1.ReasonNodeNotCordoned, "node "+name+" is neither unschedulable nor tainted NoSchedule or "+
		"NoExecute; kubectl drain cordons it; for a single pod run kubectl cordon "+name)
	d.IgnoresDeadline, d.NeedsAction = true, true
	return d, true
}
