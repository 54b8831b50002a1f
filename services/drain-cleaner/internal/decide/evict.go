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

// finding looks at one thing; found is false where it has nothing to say, and the next one is asked.
type finding func(s State, now time.Time) (d Decision, found bool)

// findings in the order in which they are asked. The first nine are those of Strimzi's Drain Cleaner, in its order.
var findings = []finding{
	requestIsNoEviction,
	nameIsMissing,
	namespaceIsMissing,
	namespaceIsNotWatched,
	podIsUnknown,
	podIsGone,
	podIsNotProtected,
	uidDiffers,
	podHasMoved,
	podIsTerminating,
	podIsFinished,
	podIsPending,
	policiesOverlap,
	noPolicySelectsIt,
	policyOnlyObserves,
	policyDecides,
}

// Evict answers a review. While the decision has a Need, meet it, note that in s.Known, and ask again.
func Evict(s State, now time.Time) Decision {
	for _, look := range findings {
		if d, found := look(s, now); found {
			if s.Request.DryRun {
				d.Roll, d.Record = false, false
			}
			return d
		}
	}
	// No finding is left only where the last one has nothing to say, which it always has.
	return Decision{Reason: LookupFailed, Message: "no finding applies"}
}

func requestIsNoEviction(s State, _ time.Time) (Decision, bool) {
	if s.Request.Eviction {
		return next, false
	}
	return allow(NotAnEviction, "the request is no Eviction of policy/v1 or policy/v1beta1")
}

func nameIsMissing(s State, _ time.Time) (Decision, bool) {
	if s.Request.Name != "" {
		return next, false
	}
	return allow(NameMissing, "the Eviction names no pod")
}

func namespaceIsMissing(s State, _ time.Time) (Decision, bool) {
	if s.Request.Namespace != "" {
		return next, false
	}
	return allow(NamespaceMissing, "the Eviction names no namespace")
}

func namespaceIsNotWatched(s State, _ time.Time) (Decision, bool) {
	if len(s.Settings.Namespaces) == 0 || slices.Contains(s.Settings.Namespaces, s.Request.Namespace) {
		return next, false
	}
	return allow(NamespaceNotWatched, "namespace "+s.Request.Namespace+" is not watched")
}

func podIsUnknown(s State, _ time.Time) (Decision, bool) {
	switch {
	case !s.Known[NeedPod]:
		return need(NeedPod)
	case s.Failure != "":
		return deny(LookupFailed, s.Failure)
	}
	return next, false
}

func podIsGone(s State, _ time.Time) (Decision, bool) {
	if s.Pod != nil {
		return next, false
	}
	return allow(PodGone, "there is no such pod")
}

func podIsNotProtected(s State, _ time.Time) (Decision, bool) {
	if len(s.Policies) > 0 || strimziRolls(s.Settings, s.Pod) {
		return next, false
	}
	return allow(NotProtected, "no policy selects the pod, and it is no pod of Strimzi's that is to be drained")
}

func uidDiffers(s State, _ time.Time) (Decision, bool) {
	if s.Request.UID == "" || s.Request.UID == s.Pod.UID {
		return next, false
	}
	return allow(UIDDiffers, fmt.Sprintf("the eviction is of the pod with uid %s, this one has %s", s.Request.UID, s.Pod.UID))
}

// podHasMoved ends the drain of a pod that has been replaced. kubectl drain evicts by name, again and again: it would have every
// replacement rolled on its new node.
func podHasMoved(s State, _ time.Time) (Decision, bool) {
	if !s.Replaces || s.Request.UID != "" {
		return next, false
	}
	if s.Pod.Node != "" && s.Known[NeedNode] && s.Node.Hidden && s.Pod.Node == s.LeftNode {
		return next, false
	}
	if s.Pod.Node != "" {
		if d, found := nodeIsNotCordoned(s); !found || d.Reason != NodeNotCordoned {
			return d, found
		}
	}
	d, _ := deny(PodMoved, "the pod that was to leave has left; its replacement is not on a node that is being drained")
	d.Gone, d.Final = true, true
	return d, true
}

func podIsTerminating(s State, _ time.Time) (Decision, bool) {
	if !s.Pod.Terminating {
		return next, false
	}
	return allow(PodTerminating, "the pod is on its way already")
}

func podIsFinished(s State, _ time.Time) (Decision, bool) {
	if s.Pod.Phase != corev1.PodSucceeded && s.Pod.Phase != corev1.PodFailed {
		return next, false
	}
	return allow(PodFinished, "the pod has finished")
}

func podIsPending(s State, _ time.Time) (Decision, bool) {
	if s.Pod.Phase != corev1.PodPending {
		return next, false
	}
	return allow(PodPending, "the pod does not run yet")
}

// policiesOverlap lets policies that only observe stand beside another one.
func policiesOverlap(s State, _ time.Time) (Decision, bool) {
	acting := acting(s.Policies)
	if len(acting) < 2 {
		return next, false
	}
	names := make([]string, len(acting))
	for i, p := range acting {
		names[i] = p.Name
	}
	d, _ := deny(PoliciesOverlap, "more than one KafkaDrainPolicy selects the pod: "+strings.Join(names, ", ")+
		"; change the podSelector of all but one")
	d.Policy, d.Final, d.Record = acting[0], true, true
	return d, true
}

func acting(policies []*drainv1alpha1.KafkaDrainPolicy) []*drainv1alpha1.KafkaDrainPolicy {
	var acting []*drainv1alpha1.KafkaDrainPolicy
	for _, p := range policies {
		if p.Spec.Mode != drainv1alpha1.ModeObserve {
			acting = append(acting, p)
		}
	}
	return acting
}

// noPolicySelectsIt does what Strimzi's Drain Cleaner does.
func noPolicySelectsIt(s State, _ time.Time) (Decision, bool) {
	if len(s.Policies) > 0 {
		return next, false
	}
	d := Decision{Allow: !s.Settings.DenyEviction, Reason: RollRequested, Message: MessageRolledByStrimzi, Roll: !s.Pod.RollRequested}
	if s.Settings.RequireNodeCordoned {
		if d, found := nodeIsNotCordoned(s); found {
			d.Allow = d.Need == NeedNothing && !s.Settings.DenyEviction
			return d, true
		}
	}
	return d, true
}

var (
	kafkaName     = regexp.MustCompile(`^.+-kafka$`)
	zooKeeperName = regexp.MustCompile(`^.+-zookeeper$`)
)

func strimziRolls(o Settings, p *Pod) bool {
	if p.Labels[contract.StrimziKind] != contract.StrimziKindKafka {
		return false
	}
	name := p.Labels[contract.StrimziName]
	return o.DrainKafka && kafkaName.MatchString(name) || o.DrainZooKeeper && zooKeeperName.MatchString(name)
}

func nodeIsNotCordoned(s State) (Decision, bool) {
	switch {
	case !s.Known[NeedNode]:
		return need(NeedNode)
	case s.Failure != "":
		return deny(LookupFailed, s.Failure)
	case s.Node.Gone, s.Node.Unschedulable, s.Node.Tainted:
		return next, false
	}
	if s.Node.Hidden {
		d, _ := deny(NodeNotCordoned, "whether node "+s.Pod.Node+" is being drained cannot be seen: drain-cleaner may not read nodes")
		d.Final = true
		return d, true
	}
	d, _ := deny(NodeNotCordoned, "node "+s.Pod.Node+" is not being drained: it is neither unschedulable nor tainted NoSchedule or NoExecute. "+
		"kubectl drain makes it so; for a single pod run kubectl cordon "+s.Pod.Node)
	d.Final = true
	return d, true
}
