package rollout_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

// limited returns a running connector with 4 tasks, all of which may be unavailable, and a new image for the tasks.
func limited(t *testing.T, free int) *decidetest.Env {
	t.Helper()
	s := decidetest.Running(t, decidetest.Large(4), decidetest.Hashes(4)...)
	all := intstr.FromInt32(4)
	s.State.Connector.Spec.MaxUnavailable = &all
	s.Settle()
	s.State.Connector.Spec.Task.Image = "another:2"
	s.Step()
	s.State.Budget = &observed.Budget{Free: free}
	return s
}

func TestRolloutUsesTheBudgetAndRecordsThePodsBeforeTheyRestart(t *testing.T) {
	t.Parallel()
	s := limited(t, 2)
	plan := s.Step()
	require.Len(t, plan.Restarts, 2)
	require.Equal(t, 2, plan.Budget.Waiting)
	var recorded []string
	for _, entry := range plan.Status.Restarting {
		recorded = append(recorded, entry.Pod)
	}
	require.ElementsMatch(t, names(plan.Restarts), recorded)
	ready := decidetest.Condition(t, plan.Status.Conditions, connectv1.ConditionReady)
	require.NotEqual(t, metav1.ConditionTrue, ready.Status)

	s.State.Budget.Free = 0
	s.RunPods()
	plan = s.Step()
	require.Empty(t, plan.Status.Restarting, "the new pods are ready")
	require.Empty(t, plan.Restarts)
	ready = decidetest.Condition(t, plan.Status.Conditions, connectv1.ConditionReady)
	require.Equal(t, connectv1.ReasonRestartLimitReached, ready.Reason)

	s.State.Budget.Free = 4
	all, _ := rolled(s)
	require.Len(t, all, 2)
	require.Empty(t, s.State.Connector.Status.Restarting)
}

func TestPodThatIsRecordedRestartsWithoutAnotherBudget(t *testing.T) {
	t.Parallel()
	s := limited(t, 1)
	plan := s.Step()
	recorded := plan.Status.Restarting
	require.Len(t, recorded, 1)
	// The status was written, but the pod was not deleted.
	s = limited(t, 0)
	s.State.Connector.Status.Restarting = recorded
	for _, pod := range s.Pods {
		if pod.Name == recorded[0].Pod {
			s.State.Connector.Status.Restarting[0].UID = pod.UID
		}
	}
	require.Equal(t, []string{recorded[0].Pod}, names(s.Step().Restarts))
}

func TestPodCountsForTenMinutesIfItIsNotReady(t *testing.T) {
	t.Parallel()
	s := limited(t, 1)
	plan := s.Step()
	require.Len(t, plan.Status.Restarting, 1)
	s.State.Budget.Free = 0
	s.RunPods()
	decidetest.Fail(s.Pod(plan.Status.Restarting[0].Pod), `{"reason":"TaskFailed","message":"x"}`, 3)
	plan = s.Step()
	require.Len(t, plan.Status.Restarting, 1)
	require.Equal(t, 1, plan.Budget.Failing)
	require.Positive(t, plan.RequeueAfter)
	require.LessOrEqual(t, plan.RequeueAfter, 10*time.Minute)
	s.State.Now = s.State.Now.Add(10 * time.Minute)
	require.Empty(t, s.Step().Status.Restarting)
}

func TestPodsOfARevertedChangeNoLongerCount(t *testing.T) {
	t.Parallel()
	s := limited(t, 0)
	pod := s.Pod("test-tasks-1")
	s.State.Connector.Status.Restarting = []connectv1.RestartingPod{
		{Pod: pod.Name, UID: pod.UID, Since: metav1.NewTime(s.State.Now)}}
	s.State.Connector.Spec.Task.Image = decidetest.Large(4).Spec.Task.Image
	s.Step()
	plan := s.Step()
	require.Empty(t, plan.Restarts)
	require.Empty(t, plan.Status.Restarting)
}

func TestRequestedRestartsAndFailedPodsNeedNoBudget(t *testing.T) {
	t.Parallel()
	s := limited(t, 0)
	s.State.Connector.Spec.Task.Image = decidetest.Large(4).Spec.Task.Image
	s.Step()
	s.Pod("test-tasks-2").Annotations[contract.ManualRollingUpdate] = "true"
	all, _ := rolled(s)
	require.Equal(t, []string{"test-tasks-2"}, all)

	s = limited(t, 0)
	decidetest.Fail(s.Pod("test-tasks-3"), `{"reason":"TaskFailed","message":"x"}`, 3)
	require.Equal(t, []string{"test-tasks-3"}, names(s.Step().Restarts))
}

func TestTasksOfAnExactlyOnceSourceStopOnlyWithBudgetForAll(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Large(4), decidetest.Hashes(4)...)
	publish := func() {
		changed := decidetest.Hashes(4)
		changed[1] = "another"
		s.State.TaskConfigs = decidetest.Published(s.State.Connector, changed...)
		s.State.TaskConfigs.Annotations[contract.AnnotationExactlyOnce] = "true"
	}
	publish()
	s.State.Budget = &observed.Budget{Free: 3}
	plan := s.Step()
	require.True(t, plan.Budget.Whole)
	require.Equal(t, 4, plan.Budget.Waiting)
	require.EqualValues(t, 4, *s.State.Objects.TaskSet.Spec.Replicas)
	published := decidetest.Condition(t, plan.Status.Conditions, connectv1.ConditionTaskConfigsPublished)
	require.Equal(t, connectv1.ReasonRestartLimitReached, published.Reason)

	s.State.Budget.Free = 4
	plan = s.Step()
	require.Len(t, plan.Status.Restarting, 4)
	require.EqualValues(t, 0, *s.State.Objects.TaskSet.Spec.Replicas)
	s.State.Budget.Free = 0
	s.RunPods()
	s.Settle()
	require.Empty(t, s.State.Connector.Status.Restarting)
	require.Equal(t, "4/4", s.State.Connector.Status.TaskSummary)
	require.Equal(t, "another", s.TaskHash(1))
}
