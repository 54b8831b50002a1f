package decide_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

func TestBudgetIsCheckedBeforeTheClaimIsMade(t *testing.T) {
	t.Parallel()
	never := decide.Budget{Name: "kafka", Healthy: 3, Desired: 3, Expected: 3}
	unready := func(p *decide.Pod) { p.ReadySince = time.Time{} }
	for name, test := range map[string]struct {
		budgets     []decide.Budget
		pod         *decide.Pod
		allow       bool
		needsAction bool
		message     string
	}{
		"no budget selects the pod": {allow: true},
		"the budget allows a disruption": {
			budgets: []decide.Budget{{Name: "kafka", Allowed: 1, Healthy: 3, Desired: 2, Expected: 3}}, allow: true,
		},
		"the budget allows no disruption although all pods are healthy": {
			budgets: []decide.Budget{never}, needsAction: true, message: "raise its maxUnavailable",
		},
		"the budget waits for another pod": {
			budgets: []decide.Budget{{Name: "kafka", Healthy: 2, Desired: 2, Expected: 3}},
			message: "wait until the other pods are ready",
		},
		"the status of the budget is of an older spec": {
			budgets: []decide.Budget{{Name: "kafka", Allowed: 1, Healthy: 3, Desired: 2, Expected: 3, Stale: true}},
			message: "kafka",
		},
		"two budgets select the pod": {
			budgets: []decide.Budget{never, {Name: "other", Allowed: 1}}, needsAction: true, message: "kafka, other",
		},
		"a pod that is not ready may go while the others are healthy": {
			budgets: []decide.Budget{{Name: "kafka", Healthy: 2, Desired: 2, Expected: 3}}, pod: strimziPod(unready),
			allow: true,
		},
		"a pod that is not ready may always go with AlwaysAllow": {
			budgets: []decide.Budget{{Name: "kafka", Healthy: 1, Desired: 2, Expected: 3, AlwaysAllow: true}},
			pod:     strimziPod(unready), allow: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := given{
				request: eviction(), pod: test.pod, policies: policies(policy(drainv1alpha1.ModeSelfCheck)),
				node: decide.Node{Unschedulable: true}, cluster: healthy(), budgets: test.budgets,
			}
			if g.pod == nil {
				g.pod = strimziPod()
			}
			s := g.live()
			s.Claimed = decide.Input[bool]{}
			d := decide.Evict(s, noon)
			if test.allow {
				assert.Equal(t, decide.NeedClaim, d.Need, d.Message)
				return
			}
			assert.Equal(t, decide.NeedNothing, d.Need, "no claim")
			assert.Equal(t, drainv1alpha1.ReasonBlockedByBudget, d.Reason)
			assert.Equal(t, test.needsAction, d.NeedsAction)
			assert.Contains(t, d.Message, test.message)
		})
	}
}

// An allowed eviction would not happen, and its claim would delay other drains.
func TestDeadlineDoesNotOverrideABudget(t *testing.T) {
	t.Parallel()
	late := policy(drainv1alpha1.ModeSelfCheck, deadline(time.Minute, drainv1alpha1.OnDeadlineAllow))
	d := decide.Evict(given{
		request: eviction(), pod: strimziPod(drainingSince(time.Hour)), policies: policies(late),
		node: decide.Node{Unschedulable: true}, cluster: healthy(), budgets: []decide.Budget{{Name: "kafka"}},
	}.live(), noon)
	assert.False(t, d.Allow)
	assert.Equal(t, drainv1alpha1.ReasonBlockedByBudget, d.Reason)
}

func TestStatusShowsTheBudgetInsteadOfAReplacement(t *testing.T) {
	t.Parallel()
	pod := strimziPod(drainingSince(time.Minute))
	plan := decide.Status(decide.PolicyState{
		Policy: policy(drainv1alpha1.ModeSelfCheck), Pods: 3, Kafka: true,
		Draining: []decide.DrainingPod{{Pod: pod, Decision: decide.Decision{
			Reason: drainv1alpha1.ReasonBlockedByBudget, Message: "no disruption", NeedsAction: true}}},
		Holders: []decide.HolderState{{Holder: decide.Holder{Pod: pod.Name, UID: pod.UID}, WaitsFor: "?"}},
	}, noon)
	assert.Len(t, plan.Status.Drains, 1)
	assert.Equal(t, string(drainv1alpha1.ReasonBlockedByBudget), plan.Status.Drains[0].Reason)
	assert.Equal(t, drainv1alpha1.DrainBlocked, plan.Status.Drains[0].Phase)
}

func TestPolicyWithoutPodsIsNotReady(t *testing.T) {
	t.Parallel()
	p := policy(drainv1alpha1.ModeDelegate)
	ready := func(pods int) (status, reason string) {
		c := decide.Status(decide.PolicyState{Policy: p, Pods: pods}, noon).Status.Conditions[0]
		assert.Equal(t, drainv1alpha1.ConditionReady, c.Type)
		return string(c.Status), c.Reason
	}
	status, reason := ready(0)
	assert.Equal(t, "False", status)
	assert.Equal(t, string(drainv1alpha1.ReasonNoPodsSelected), reason)
	status, _ = ready(1)
	assert.Equal(t, "True", status)
}
