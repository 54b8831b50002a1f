package oneshot_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

// publish publishes n task configs as a sink.
func publish(s *decidetest.Env, n int) {
	s.State.TaskConfigs = decidetest.Published(s.State.Connector, decidetest.Hashes(n)...)
	s.State.TaskConfigs.Annotations[contract.AnnotationConnectorType] = contract.ConnectorTypeSink
}

// sink returns a sink with 4 running tasks.
func sink(t *testing.T) *decidetest.Env {
	s := decidetest.Running(t, decidetest.Large(4), decidetest.Hashes(4)...)
	publish(s, 4)
	s.Settle()
	return s
}

// removals returns the arguments of the pods for the removal of members that a plan creates.
func removals(plan decide.Plan) [][]string {
	var found [][]string
	for _, pod := range plan.OneShots.OneShots {
		if pod.Labels[contract.LabelOneShot] == contract.OneShotMembers {
			found = append(found, pod.Spec.Containers[0].Args)
		}
	}
	return found
}

func settle(s *decidetest.Env) [][]string {
	var found [][]string
	for range 20 {
		plan := s.Step()
		found = append(found, removals(plan)...)
		s.RunPods()
	}
	s.Settle()
	return found
}

func TestMembersOfASinkAreRemovedAfterAScaleDown(t *testing.T) {
	t.Parallel()
	s := sink(t)
	publish(s, 2)
	require.Empty(t, removals(s.Step()))
	require.Empty(t, removals(s.Step()), "the pods of tasks 2 and 3 still exist")
	s.RunPods()
	require.Equal(
		t, [][]string{{"members", "remove", "--remaining-tasks", "2", "--previous-tasks", "4"}}, removals(s.Step()))
	require.Empty(t, settle(s), "once")
	require.Nil(t, s.OneShot(contract.OneShotMembers))
	require.NotContains(t, s.State.Objects.TaskSet.Annotations, "weir.dev/previous-tasks")
}

func TestMembersAreNotRemovedWithoutAScaleDownOfASink(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*decidetest.Env){
		"source": func(s *decidetest.Env) {
			s.State.TaskConfigs = decidetest.Published(s.State.Connector, decidetest.Hashes(2)...)
		},
		"restart":  func(s *decidetest.Env) { s.State.Connector.Annotations = map[string]string{contract.RestartTask: "3"} },
		"rollout":  func(s *decidetest.Env) { s.State.Connector.Spec.Task.Image = "other:2" },
		"scale up": func(s *decidetest.Env) { s.State.Connector.Spec.ConnectorConfig["tasks.max"] = "6"; publish(s, 6) },
		"pause":    func(s *decidetest.Env) { s.State.Connector.Spec.State = connectv1.StatePaused },
		"stop":     func(s *decidetest.Env) { s.State.Connector.Spec.State = connectv1.StateStopped },
		"a scale-down that is reverted at once": func(s *decidetest.Env) {
			publish(s, 2)
			s.Step()
			s.Step()
			publish(s, 4)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sink(t)
			change(s)
			require.Empty(t, settle(s))
		})
	}
}

// scaleDown scales the sink to n tasks, until the removal of the members runs.
func scaleDown(s *decidetest.Env, n int) *corev1.Pod {
	publish(s, n)
	s.Step()
	s.RunPods()
	s.Step()
	return s.OneShot(contract.OneShotMembers)
}

func TestRemovedTaskDoesNotRunAgainWhileItsMemberIsRemoved(t *testing.T) {
	t.Parallel()
	s := sink(t)
	pod := scaleDown(s, 1)
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning}
	publish(s, 3)
	plan := s.Step()
	require.Len(t, plan.OneShots.FinishedOneShots, 1, "the removal is canceled")
	pod.DeletionTimestamp = &metav1.Time{Time: decidetest.Noon}
	s.Pods = append(s.Pods, pod)
	s.Step()
	s.RunPods()
	require.Equal(t, 1, s.Tasks(), "the canceled pod can still remove members")
	s.Remove(pod.Name)
	require.Equal(t, [][]string{{"members", "remove", "--remaining-tasks", "3", "--previous-tasks", "4"}}, settle(s))
	require.Equal(t, 3, s.Tasks())
}

func TestRemovalOfMembersEndsAfterThreeAttempts(t *testing.T) {
	t.Parallel()
	s := sink(t)
	s.Termination = &corev1.ContainerStateTerminated{
		ExitCode: 1, Message: `{"reason":"KafkaUnreachable","message":"no"}`, FinishedAt: metav1.NewTime(decidetest.Noon),
	}
	scaleDown(s, 2)
	attempts := 1
	for range 10 {
		s.State.Now = s.State.Now.Add(10 * time.Minute)
		attempts += len(removals(s.Step()))
	}
	require.Equal(t, 3, attempts)
	require.Nil(t, s.OneShot(contract.OneShotMembers))
	require.Equal(t, "2/2", s.State.Connector.Status.TaskSummary)
}

func TestMembersAreRemovedWhileANewSpecIsHeldBack(t *testing.T) {
	t.Parallel()
	s := sink(t)
	accepted := s.State.Connector.DeepCopy()
	s.State.Connector.Spec.Task.Image = ""
	s.State.TaskConfigs = decidetest.Published(accepted, decidetest.Hashes(1)...)
	s.State.TaskConfigs.Annotations[contract.AnnotationConnectorType] = contract.ConnectorTypeSink
	require.Equal(t, [][]string{{"members", "remove", "--remaining-tasks", "1", "--previous-tasks", "4"}}, settle(s))
}
