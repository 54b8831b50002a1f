package status_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/status"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

func TestPodState(t *testing.T) {
	t.Parallel()
	ended := func(code int32, reason, message string) corev1.ContainerState {
		return corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message},
		}
	}
	waiting := func(reason, message string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	}
	for name, test := range map[string]struct {
		container corev1.ContainerStatus
		change    func(*corev1.Pod)
		state     connectv1.PodState
		lastError string
	}{
		"runs when it is ready": {
			change: func(p *corev1.Pod) { *p = *decidetest.ReadyPod("test-tasks", 0, "task") },
			state:  connectv1.PodRunning,
		},
		"starts until it is ready": {
			container: corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
			state:     connectv1.PodStarting,
		},
		"is pending while nothing is known": {state: connectv1.PodPending},
		"is stopping once it is deleted": {
			change: func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: decidetest.Noon} },
			state:  connectv1.PodStopping,
		},
		"has failed in its own words": {
			container: corev1.ContainerStatus{
				State:                waiting("CrashLoopBackOff", "back-off"),
				LastTerminationState: ended(1, "Error", `{"reason":"TaskFailed","message":"table orders does not exist"}`),
			},
			state: connectv1.PodFailed, lastError: "TaskFailed: table orders does not exist",
		},
		"has failed without a word": {
			container: corev1.ContainerStatus{State: ended(3, "Error", "")},
			state:     connectv1.PodFailed,
			lastError: "Error: exit code 3",
		},
		"was killed for its memory": {
			container: corev1.ContainerStatus{
				State:                waiting("CrashLoopBackOff", "back-off"),
				LastTerminationState: ended(137, "OOMKilled", ""),
			},
			state: connectv1.PodFailed, lastError: "OOMKilled: exit code 137",
		},
		"keeps the last error while it starts again": {
			container: corev1.ContainerStatus{
				State:                corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
				LastTerminationState: ended(1, "Error", `{"reason":"KafkaUnreachable","message":"no broker answered"}`),
			},
			state: connectv1.PodStarting, lastError: "KafkaUnreachable: no broker answered",
		},
		"cannot pull its image": {
			container: corev1.ContainerStatus{State: waiting("ImagePullBackOff", `Back-off pulling image "nowhere/x:1"`)},
			state:     connectv1.PodPending, lastError: `ImagePullBackOff: Back-off pulling image "nowhere/x:1"`,
		},
		"finds no node": {
			change: func(p *corev1.Pod) {
				p.Status.Conditions = []corev1.PodCondition{{
					Type:    corev1.PodScheduled,
					Status:  corev1.ConditionFalse,
					Reason:  "Unschedulable",
					Message: "0/3 nodes are available: 3 Insufficient memory.",
				}}
			},
			state: connectv1.PodPending, lastError: "Unschedulable: 0/3 nodes are available: 3 Insufficient memory.",
		},
		"has a node, independent of earlier reports": {
			change: func(p *corev1.Pod) {
				*p = *decidetest.ReadyPod("test-tasks", 0, "task")
				p.Status.Conditions = append(
					p.Status.Conditions,
					corev1.PodCondition{
						Type:    corev1.PodScheduled,
						Status:  corev1.ConditionFalse,
						Reason:  "SchedulerError",
						Message: "pods \"test-tasks-0\" not found",
					},
				)
			},
			state: connectv1.PodRunning,
		},
		"was evicted": {
			change: func(p *corev1.Pod) {
				p.Status.Phase, p.Status.Reason = corev1.PodFailed, "Evicted"
				p.Status.Message = "The node was low on resource: memory."
			},
			state: connectv1.PodFailed, lastError: "Evicted: The node was low on resource: memory.",
		},
		"says it on one line, and not too long": {
			container: corev1.ContainerStatus{
				State: ended(1, "Error", `{"reason":"TaskFailed","message":"a\n\tb `+strings.Repeat("x", 5000)+`"}`),
			},
			state:     connectv1.PodFailed,
			lastError: "TaskFailed: a b " + strings.Repeat("x", 1024-3-len("TaskFailed: a b ")) + "...",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{
					Name:   "test-tasks-0",
					Labels: map[string]string{contract.LabelType: "task"},
				},
			}
			test.container.Name = "task"
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "sidecar", RestartCount: 9}, test.container}
			if test.change != nil {
				test.change(pod)
			}
			task := observed.NewPods("test", []*corev1.Pod{pod}).Tasks[0]
			require.Equal(t, test.state, status.PodState(task))
			require.Equal(t, test.lastError, task.LastError)
		})
	}
}

func TestStatesOfAConnector(t *testing.T) {
	t.Parallel()
	broken := `{"reason":"TaskFailed","message":"table orders does not exist"}`
	for name, test := range map[string]struct {
		change   func(*decidetest.Env)
		state    connectv1.ConnectorPhase
		ready    string
		message  string
		degraded string
	}{
		"is running when all is": {
			change:   func(*decidetest.Env) {},
			state:    connectv1.PhaseRunning,
			ready:    connectv1.ReasonAllRunning,
			message:  "3/3 tasks are ready",
			degraded: connectv1.ReasonNoFailures,
		},
		"is degraded by a failed task": {
			change:   func(s *decidetest.Env) { decidetest.Fail(s.Task(1), broken, 4) },
			state:    connectv1.PhaseDegraded,
			ready:    connectv1.ReasonTasksFailed,
			message:  "task 1 failed: TaskFailed: table orders does not exist",
			degraded: connectv1.ReasonTasksFailed,
		},
		"has failed when all tasks have": {
			change: func(s *decidetest.Env) {
				for id := range 3 {
					decidetest.Fail(s.Task(id), broken, 4)
				}
			},
			state:    connectv1.PhaseFailed,
			ready:    connectv1.ReasonTasksFailed,
			message:  "tasks 0, 1, 2 failed: TaskFailed: table orders does not exist",
			degraded: connectv1.ReasonTasksFailed,
		},
		"is degraded by a failed connector whose tasks keep running": {
			change: func(s *decidetest.Env) {
				connector := s.Pod("test-connector-0")
				decidetest.Fail(connector, `{"reason":"ConnectorFailed","message":"no such host"}`, 2)
			},
			state:    connectv1.PhaseDegraded,
			ready:    connectv1.ReasonConnectorFailed,
			message:  "the connector failed: ConnectorFailed: no such host",
			degraded: connectv1.ReasonConnectorFailed,
		},
		"is pending while a task is missing": {
			change:   func(s *decidetest.Env) { s.Remove("test-tasks-2") },
			state:    connectv1.PhasePending,
			ready:    connectv1.ReasonStarting,
			message:  "2/3 tasks are ready",
			degraded: connectv1.ReasonNoFailures,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
			test.change(s)
			got := s.Step().Status
			require.Equal(t, test.state, got.State)
			ready := decidetest.Condition(t, got.Conditions, connectv1.ConditionReady)
			require.Equal(t, test.ready, ready.Reason)
			require.Equal(t, test.message, ready.Message)
			require.Equal(t, test.degraded, decidetest.Condition(t, got.Conditions, connectv1.ConditionDegraded).Reason)
		})
	}
}

func TestPausedRunsOnlyTheConnectorAndStoppedRunsNothing(t *testing.T) {
	t.Parallel()
	for state, want := range map[connectv1.ConnectorState]struct {
		word connectv1.ConnectorPhase
		pods int
	}{connectv1.StatePaused: {connectv1.PhasePaused, 1}, connectv1.StateStopped: {connectv1.PhaseStopped, 0}} {
		s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
		s.State.Connector.Spec.State = state
		plan := s.Step()
		require.Equal(
			t,
			"Starting",
			decidetest.Condition(t, plan.Status.Conditions, connectv1.ConditionReady).Reason,
			"pods are still there",
		)
		s.RunPods()
		s.Settle()
		require.Equal(t, want.word, s.State.Connector.Status.State)
		require.Len(t, s.Pods, want.pods)
		require.EqualValues(
			t,
			want.word,
			decidetest.Condition(t, s.State.Connector.Status.Conditions, connectv1.ConditionPaused).Reason,
		)
		require.Equal(
			t,
			metav1.ConditionTrue,
			decidetest.Condition(t, s.State.Connector.Status.Conditions, connectv1.ConditionReady).Status,
		)

		s.State.Connector.Spec.State = connectv1.StateRunning
		s.Settle()
		require.Equal(t, "3/3", s.State.Connector.Status.TaskSummary, "the task configs are still known")
	}
}

func TestSinceIsTheTimeOfTheLastStateChange(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(1)...)
	s.State.Now = decidetest.Noon.Add(time.Hour)
	require.Equal(t, decidetest.Noon, s.Step().Status.Tasks[0].Since.UTC())
	decidetest.Fail(s.Task(0), "", 1)
	require.Equal(t, decidetest.Noon.Add(time.Hour), s.Step().Status.Tasks[0].Since.UTC())
}

func TestEvents(t *testing.T) {
	t.Parallel()
	said := func(plan decide.Plan) []string {
		var notes []string
		for _, e := range plan.Events() {
			notes = append(notes, e.Type+" "+e.Reason+": "+e.Note)
		}
		return notes
	}
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(2)...)
	require.Empty(t, said(s.Step()), "nothing new, nothing said")

	decidetest.Fail(s.Task(1), `{"reason":"TaskFailed","message":"boom"}`, 1)
	require.Equal(t, []string{"Warning TaskFailed: task 1 failed: TaskFailed: boom"}, said(s.Step()))
	require.Empty(t, said(s.Step()), "a failure is reported once")
	s.Task(1).Status.ContainerStatuses[0].RestartCount++
	require.Equal(
		t,
		[]string{"Warning TaskFailed: task 1 failed: TaskFailed: boom"},
		said(s.Step()),
		"the next failure is reported again",
	)

	restarts := s.Task(1).Status.ContainerStatuses[0].RestartCount
	*s.Task(1) = *readyPodLike(s.Task(1), restarts)
	require.Equal(
		t,
		[]string{"Normal TaskRecovered: task 1 is running again", "Normal AllRunning: 2/2 tasks are ready"},
		said(s.Step()),
	)

	s.State.Connector.Annotations = map[string]string{contract.RestartTask: "0"}
	s.Step()
	s.Step()
	require.Equal(
		t,
		[]string{"Normal Restarting: restarting pod test-tasks-0: a restart was requested"},
		said(s.Step()),
	)
}

func readyPodLike(pod *corev1.Pod, restarts int32) *corev1.Pod {
	again := pod.DeepCopy()
	again.Status = decidetest.ReadyPod("x", 0, pod.Labels[contract.LabelType]).Status
	again.Status.ContainerStatuses[0].RestartCount = restarts
	return again
}

func TestStatusIsWrittenAfterTheCreatedObjectsAreObserved(t *testing.T) {
	t.Parallel()
	s := decidetest.New(t, observed.State{Connector: decidetest.Connector(), Worker: decidetest.Worker()})
	first := s.Step()
	require.NotEmpty(t, first.StatefulSets)
	require.False(t, first.StatusChanged(), "the created objects cause the next decision")
	require.Empty(t, first.Events())
	second := s.Step()
	require.True(t, second.Empty())
	require.True(t, second.StatusChanged())

	refused := decidetest.New(t, observed.State{Connector: decidetest.Connector(), Worker: decidetest.Worker()})
	plan, err := decide.Connector(refused.State, spec.Of(refused.State))
	require.NoError(t, err)
	plan.Fail(
		refused.State,
		&apply.WriteError{Verb: "apply", Kind: "StatefulSet", Name: "test-connector", Err: errors.New("no")},
	)
	require.True(t, plan.StatusChanged(), "a rejection by the API is reported at once")
	require.NotEmpty(t, plan.Events())
}

func TestPodDisruptionBudgetIsCreatedAfterTheStatefulSetOfTheTasks(t *testing.T) {
	t.Parallel()
	s := decidetest.New(t, observed.State{Connector: decidetest.Connector(), Worker: decidetest.Worker()})
	s.Settle()
	require.Nil(t, s.State.Objects.Budget, "Kubernetes reports a budget that covers no pod")
	s.State.TaskConfigs = decidetest.Published(s.State.Connector, decidetest.Hashes(3)...)
	s.Settle()
	require.NotNil(t, s.State.Objects.Budget)
}
