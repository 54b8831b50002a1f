package rollout_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

// loseTaskConfigs deletes the Secret with the task configs and lets connect-scheduler create it again a minute after
// the pods.
func loseTaskConfigs(s *decidetest.Env) {
	s.State.TaskConfigs, s.State.Objects.TaskConfigs = nil, nil
	plan := s.Step()
	require.Len(s, plan.Secrets, 1)
	require.Empty(s, plan.Restarts, "the new Secret is not observed yet")
	s.State.Objects.TaskConfigs.CreationTimestamp = metav1.NewTime(decidetest.Noon.Add(time.Minute))
	s.State.TaskConfigs = &observed.Secret{}
}

func TestLostTaskConfigsRestartTheConnectorOnceAndNoTask(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
	loseTaskConfigs(s)
	require.Equal(t, []string{"test-connector-0"}, names(s.Step().Restarts))
	s.RunPods()
	for _, pod := range s.Pods {
		if pod.Name == "test-connector-0" {
			pod.CreationTimestamp = metav1.NewTime(decidetest.Noon.Add(time.Minute))
		}
	}
	plan := s.Step()
	require.Empty(t, plan.Restarts, "a pod that is as old as the Secret publishes to it")
	require.EqualValues(t, 3, *s.State.Objects.TaskSet.Spec.Replicas)
	require.EqualValues(t, 3, plan.Status.TasksReady)
	ready := decidetest.Condition(t, plan.Status.Conditions, connectv1.ConditionReady)
	require.Equal(t, connectv1.ReasonTaskConfigsLost, ready.Reason)
	s.State.TaskConfigs = decidetest.Published(s.State.Connector, decidetest.Hashes(3)...)
	all, _ := rolled(s)
	require.Empty(t, all, "the same task configs were published again")
	ready = decidetest.Condition(t, s.State.Connector.Status.Conditions, connectv1.ConditionReady)
	require.Equal(t, connectv1.ReasonAllRunning, ready.Reason)
}

func TestNoTaskStartsOrRestartsWithoutItsTaskConfig(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
	s.State.Connector.Spec.State = connectv1.StatePaused
	s.Settle()
	loseTaskConfigs(s)
	s.State.Connector.Spec.State = connectv1.StateRunning
	s.Step()
	s.RunPods()
	s.Step()
	require.EqualValues(t, 0, *s.State.Objects.TaskSet.Spec.Replicas)
	s.State.TaskConfigs = decidetest.Published(s.State.Connector, decidetest.Hashes(3)...)
	s.Settle()
	require.Equal(t, "3/3", s.State.Connector.Status.TaskSummary)

	loseTaskConfigs(s)
	s.State.Connector.Spec.Task.Image = "another:2"
	for range 3 {
		require.NotContains(t, names(s.Step().Restarts), "test-tasks-0")
		s.RunPods()
	}
	s.State.TaskConfigs = decidetest.Published(s.State.Connector, decidetest.Hashes(3)...)
	all, _ := rolled(s)
	require.Equal(t, []string{"test-tasks-0", "test-tasks-1", "test-tasks-2"}, all)
}

func TestFirstPublicationRestartsNothing(t *testing.T) {
	t.Parallel()
	s := decidetest.New(t, observed.State{Connector: decidetest.Connector(), Worker: decidetest.Worker()})
	s.Step()
	s.RunPods()
	s.State.TaskConfigs = &observed.Secret{}
	s.State.Objects.TaskConfigs.CreationTimestamp = metav1.NewTime(decidetest.Noon)
	require.Empty(t, s.Step().Restarts)
}

func TestPodThatStaysStaleIsReplaced(t *testing.T) {
	t.Parallel()
	const stale = `{"reason":"TaskConfigStale","message":"read the config of task 0: is a directory"}`
	require.Contains(t, stale, contract.ReasonTaskConfigStale)
	for name, test := range map[string]struct {
		message  string
		restarts int32
		want     []string
	}{
		"it restarts a few times first":       {stale, 2, nil},
		"it is replaced":                      {stale, 3, []string{"test-tasks-0"}},
		"a failed task with its task config":  {`{"reason":"TaskFailed","message":"x"}`, 9, nil},
		"another error that names the reason": {"TaskConfigStale", 9, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(2)...)
			pod := s.Task(0)
			decidetest.Fail(pod, test.message, test.restarts)
			all, _ := rolled(s)
			require.Equal(t, test.want, all)
		})
	}
}
