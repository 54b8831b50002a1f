package decide

import (
	"fmt"
	"strings"
	"time"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
)

// Budget is a PodDisruptionBudget that selects the pod.
type Budget struct {
	Name string
	// Allowed is the number of disruptions that it allows now.
	Allowed int32
	// Healthy, Desired and Expected are the numbers of pods in its status.
	Healthy, Desired, Expected int32
	// Stale budgets have a status of an older spec. The API server allows no eviction then.
	Stale bool
	// AlwaysAllow and IfHealthy are the policies for the eviction of pods that are not ready.
	AlwaysAllow bool
}

// allows reports whether the API server would evict the pod now.
func (b Budget) allows(pod *Pod) bool {
	if b.Stale {
		return false
	}
	if b.Allowed > 0 {
		return true
	}
	unready := pod.ReadySince.IsZero()
	return unready && (b.AlwaysAllow || b.Desired > 0 && b.Healthy >= b.Desired)
}

// blockedByBudget denies before a claim is made: a pod that the API server does not evict must not delay other drains.
// The deadline does not apply, because an allowed eviction would not happen either.
func blockedByBudget(s State, _ *drainv1alpha1.KafkaDrainPolicy, _ time.Time) (Decision, bool) {
	switch {
	case !s.Budgets.Read():
		return need(NeedBudgets)
	case s.Budgets.Failed():
		return s.Budgets.denial()
	}
	var names []string
	needsAction := false
	for _, b := range s.Budgets.Value() {
		names = append(names, b.Name)
		if !b.allows(s.Pod.Value()) {
			needsAction = needsAction || !b.Stale && b.Healthy >= b.Expected
		}
	}
	if len(names) > 1 {
		d, _ := deny(drainv1alpha1.ReasonBlockedByBudget, "more than one PodDisruptionBudget selects the pod: "+
			strings.Join(names, ", ")+"; Kubernetes evicts no such pod; change the selector of all but one")
		d.IgnoresDeadline, d.NeedsAction = true, true
		return d, true
	}
	if len(names) == 0 || s.Budgets.Value()[0].allows(s.Pod.Value()) {
		return pass()
	}
	b := s.Budgets.Value()[0]
	advice := "wait until the other pods are ready"
	if needsAction {
		advice = "raise its maxUnavailable, or lower its minAvailable"
	}
	d, _ := deny(drainv1alpha1.ReasonBlockedByBudget, fmt.Sprintf("PodDisruptionBudget %s allows no disruption "+
		"(%d of %d pods are healthy, %d are required); %s", b.Name, b.Healthy, b.Expected, b.Desired, advice))
	d.IgnoresDeadline, d.NeedsAction = true, needsAction
	return d, true
}
