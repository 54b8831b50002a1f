package oneshot_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

// stopping returns a connector with two tasks that is being stopped and whose offsets are to be reset. Its pods still
// run.
func stopping(t *testing.T) *decidetest.Env {
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(2)...)
	s.State.Connector.Spec.State = connectv1.StateStopped
	s.State.Connector.Annotations = map[string]string{contract.ConnectorOffsets: contract.OffsetsReset}
	return s
}

func TestResetWaitsUntilNoPodOfTheConnectorExists(t *testing.T) {
	t.Parallel()
	s := stopping(t)
	plan := s.Step()
	require.Empty(t, plan.OneShots.OneShots)
	require.Empty(t, plan.Done)
	require.Equal(t, connectv1.PhaseStopping, plan.Status.State)
	require.Equal(t, &connectv1.OffsetsStatus{
		Operation: "reset", State: connectv1.OffsetsWaitingForPods, Time: metav1.NewTime(decidetest.Noon),
		Message: "reset starts when no pod of the connector exists: pod test-connector-0 on node node-1, " +
			"pod test-tasks-0 on node node-1, pod test-tasks-1 on node node-1",
	}, plan.Status.Offsets)

	// The pod of a lost node is terminating until a person deletes the node.
	s.RunPods()
	lost := decidetest.ReadyPod("test-tasks", 1, contract.TypeTask)
	lost.DeletionTimestamp = &metav1.Time{Time: decidetest.Noon}
	s.Pods = []*corev1.Pod{lost}
	s.State.Now = decidetest.Noon.Add(1000)
	plan = s.Step()
	require.Empty(t, plan.OneShots.OneShots)
	require.Equal(t, "reset starts when no pod of the connector exists: pod test-tasks-1 on node node-1",
		plan.Status.Offsets.Message)
	require.True(t, plan.Status.Offsets.Time.Equal(&metav1.Time{Time: decidetest.Noon}), "the wait began at the same time")
	require.Empty(t, plan.Events(), "a shorter list of pods is not an event")

	s.Pods = nil
	require.Len(t, s.Step().OneShots.OneShots, 1)
	s.Settle()
	require.Equal(t, connectv1.OffsetsDone, s.State.Connector.Status.Offsets.State)
	require.Equal(t, connectv1.PhaseStopped, s.State.Connector.Status.State)
}

func TestResetWaitsUntilTheStatefulSetControllerHasObservedTheScaleDown(t *testing.T) {
	t.Parallel()
	for name, lag := range map[string]func(*appsv1.StatefulSet){
		"generation not observed": func(set *appsv1.StatefulSet) { set.Generation = set.Status.ObservedGeneration + 1 },
		"a pod is counted":        func(set *appsv1.StatefulSet) { set.Status.Replicas = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := stopping(t)
			s.Step()
			s.RunPods()
			require.Empty(t, s.Pods)
			set := *s.State.Objects.TaskSet
			lag(s.State.Objects.TaskSet)
			plan := s.Step()
			require.Empty(t, plan.OneShots.OneShots)
			require.Equal(t, connectv1.OffsetsWaitingForPods, plan.Status.Offsets.State)
			require.Equal(t, connectv1.PhaseStopping, plan.Status.State)
			s.State.Objects.TaskSet = &set
			require.Len(t, s.Step().OneShots.OneShots, 1)
		})
	}
}

func TestResetOfAnExactlyOnceSourceFencesThePreviousTasks(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
	s.State.TaskConfigs = exactlyOnce(s.State.TaskConfigs)
	s.State.Connector.Spec.State = connectv1.StateStopped
	s.Settle()
	s.State.Connector.Annotations = map[string]string{contract.ConnectorOffsets: contract.OffsetsReset}
	require.Equal(t, []string{"offsets", "reset", "--fence-tasks", "3"},
		s.Step().OneShots.OneShots[0].Spec.Containers[0].Args)
	s.Settle()
	s.State.Connector.Annotations = map[string]string{contract.ConnectorOffsets: contract.OffsetsList}
	require.Equal(t, []string{"offsets", "list"}, s.Step().OneShots.OneShots[0].Spec.Containers[0].Args)
}

func TestNoPodStartsWhileOffsetsAreReset(t *testing.T) {
	t.Parallel()
	s := stopping(t)
	s.Step()
	s.RunPods()
	require.Len(t, s.Step().OneShots.OneShots, 1)
	pod := s.OneShot(contract.OneShotOffsets)
	finished := pod.Status
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning}

	s.State.Connector.Spec.State = connectv1.StateRunning
	plan := s.Step()
	require.True(t, plan.Empty(), "the reset continues and no pod starts")
	delete(s.State.Connector.Annotations, contract.ConnectorOffsets)
	pod.DeletionTimestamp = &metav1.Time{Time: decidetest.Noon}
	plan = s.Step()
	require.True(t, plan.Empty(), "a canceled reset can still write until its pod has ended")
	s.State.Connector.Annotations = map[string]string{contract.ConnectorOffsets: contract.OffsetsReset}
	pod.DeletionTimestamp = nil

	pod.Status = finished
	require.NotEmpty(t, s.Step().StatefulSets)
	require.Equal(t, connectv1.OffsetsDone, s.State.Connector.Status.Offsets.State)
	s.Settle()
	require.Equal(t, connectv1.PhaseRunning, s.State.Connector.Status.State)
}
