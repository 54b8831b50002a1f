package rollout_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

func pod(s *decidetest.Env, name string) *corev1.Pod {
	s.Helper()
	for _, pod := range s.Pods {
		if pod.Name == name {
			return pod
		}
	}
	s.Fatalf("pod %s not found", name)
	return nil
}

func TestNewSetOfTaskConfigsReachesAllTasksWhileOneTaskFails(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*corev1.Pod){
		"its container fails again and again": func(p *corev1.Pod) { decidetest.Fail(p, "", 3) },
		"it has not been ready for 10 minutes": func(p *corev1.Pod) {
			p.CreationTimestamp = metav1.NewTime(decidetest.Noon.Add(-10 * time.Minute))
			p.Status.Conditions = nil
		},
		"it has been terminating for 10 minutes on a lost node": func(p *corev1.Pod) {
			p.DeletionTimestamp = &metav1.Time{Time: decidetest.Noon.Add(-10 * time.Minute)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := decidetest.Running(t, decidetest.Large(4), decidetest.Hashes(4)...)
			fail(pod(s, "test-tasks-2"))
			s.State.TaskConfigs = decidetest.Published(s.State.Connector, "new-0", "new-1", "hash-2", "new-3")
			all, most := rolled(s)
			require.Equal(t, []string{"test-tasks-0", "test-tasks-1", "test-tasks-3"}, all)
			require.Equal(t, 1, most)
		})
	}
}

func TestStartingTaskCountsAgainstAChangeOfTaskConfigs(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Large(4), decidetest.Hashes(4)...)
	pod(s, "test-tasks-2").Status.Conditions = nil
	s.State.TaskConfigs = decidetest.Published(s.State.Connector, "new-0", "hash-1", "hash-2", "hash-3")
	s.Step()
	plan := s.Step()
	require.Empty(t, plan.Restarts)
	require.Equal(t, 10*time.Minute, plan.RequeueAfter, "then the task counts as failed")
}

func TestImageThatCannotStartStopsTheRollout(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Large(12), decidetest.Hashes(12)...)
	s.State.Connector.Spec.Task.Image = "broken:1"
	var all []string
	for range 20 {
		restarted := names(s.Step().Restarts)
		all = append(all, restarted...)
		s.RunPods()
		for _, name := range restarted {
			decidetest.Fail(pod(s, name), `{"reason":"TaskFailed","message":"no such class"}`, 1)
		}
	}
	require.Len(t, all, 3, "maxUnavailable is 25 %")
	status := s.State.Connector.Status
	blocked := decidetest.Condition(t, status.Conditions, connectv1.ConditionRolloutBlocked)
	require.Equal(t, metav1.ConditionTrue, blocked.Status)
	require.Equal(t, "9 of 12 tasks keep their previous pod template, because 3 tasks fail and maxUnavailable is 3; "+
		"fix or revert the change; pod test-tasks-0: TaskFailed: no such class", blocked.Message)
	ready := decidetest.Condition(t, status.Conditions, connectv1.ConditionReady)
	require.Equal(t, connectv1.ReasonRolloutBlocked, ready.Reason)

	s.State.Connector.Spec.Task.Image = "fixed:2"
	all, _ = rolled(s)
	require.Len(t, all, 12)
	for _, c := range s.State.Connector.Status.Conditions {
		require.NotEqual(t, connectv1.ConditionRolloutBlocked, c.Type)
	}
}

func TestTaskThatIsReadyOnlyBetweenTwoFailuresStopsTheRollout(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Large(4), decidetest.Hashes(4)...)
	s.State.Connector.Spec.Task.Image = "another:2"
	s.Step()
	require.Len(t, s.Step().Restarts, 1)
	s.RunPods()
	again := slices.IndexFunc(s.Pods, func(p *corev1.Pod) bool { return p.Name == "test-tasks-0" })
	flapping := s.Pods[again]
	flapping.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1}
	flapping.Status.Conditions[0].LastTransitionTime = metav1.NewTime(decidetest.Noon.Add(-time.Second))
	plan := s.Step()
	require.Empty(t, plan.Restarts)
	require.Equal(t, 29*time.Second, plan.RequeueAfter)
	s.State.Now = s.State.Now.Add(29 * time.Second)
	require.Equal(t, []string{"test-tasks-1"}, names(s.Step().Restarts))
}

func TestChangeOfTaskConfigsDoesNotContinueABlockedRollout(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Large(4), decidetest.Hashes(4)...)
	s.State.Connector.Spec.Task.Image = "broken:1"
	s.Step()
	s.Step()
	s.RunPods()
	decidetest.Fail(pod(s, "test-tasks-0"), "", 1)
	s.State.TaskConfigs = decidetest.Published(s.State.Connector, "hash-0", "new-1", "new-2", "new-3")
	for range 5 {
		require.Empty(t, s.Step().Restarts, "the pods would come back with the broken image")
	}
}
