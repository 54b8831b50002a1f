package decide_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

var rejected = &corev1.ContainerStateTerminated{
	ExitCode: 10,
	Message:  `{"reason":"ConfigInvalid","message":"no","result":{"errors":{"kafka.topic":["must be a name"]}}}`,
}

// heldBack are the ways in which a new spec can be held back, by the reason of ConfigValid.
var heldBack = map[string]func(*decidetest.Env){
	connectv1.ReasonConfigRejected: func(s *decidetest.Env) {
		s.Termination = rejected
		s.State.Connector.Spec.ConnectorConfig["kafka.topic"] = ""
	},
	connectv1.ReasonValidationFailed: func(s *decidetest.Env) {
		s.Termination = &corev1.ContainerStateTerminated{ExitCode: 1, Message: `{"reason":"OutOfMemory","message":"no"}`}
		s.State.Connector.Spec.ConnectorConfig["kafka.topic"] = "other"
	},
	connectv1.ReasonValidating: func(s *decidetest.Env) {
		s.State.Connector.Spec.ConnectorConfig["kafka.topic"] = "other"
		s.Step()
		s.OneShot(contract.OneShotValidate).Status = corev1.PodStatus{Phase: corev1.PodRunning}
	},
	connectv1.ReasonImageMissing: func(s *decidetest.Env) { s.State.Connector.Spec.Task.Image = "" },
	connectv1.ReasonConnectNotFound: func(s *decidetest.Env) {
		s.State.Connector.Spec.ConnectRef = &corev1.LocalObjectReference{Name: "missing"}
	},
	connectv1.ReasonWorkerSecretNotFound: func(s *decidetest.Env) {
		s.State.Connector.Spec.WorkerConfigSecret = &corev1.LocalObjectReference{Name: "missing"}
		s.State.Worker = nil
	},
}

// holdBack returns a connector with three running tasks whose new spec is held back.
func holdBack(t *testing.T, reason string) *decidetest.Env {
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
	heldBack[reason](s)
	s.Settle()
	valid := decidetest.Condition(t, s.State.Connector.Status.Conditions, connectv1.ConditionConfigValid)
	require.Equal(t, reason, valid.Reason)
	require.Equal(t, "3/3", s.State.Connector.Status.TaskSummary)
	return s
}

func forEachReason(t *testing.T, test func(*testing.T, *decidetest.Env)) {
	for reason := range heldBack {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			s := holdBack(t, reason)
			accepted := s.State.Objects.ConnectorSet.Annotations[observed.AnnotationAccepted]
			template := s.State.Objects.ConnectorSet.Spec.Template
			secret := s.State.Objects.ConnectorSecret.Data
			test(t, s)
			require.Equal(t, accepted, s.State.Objects.ConnectorSet.Annotations[observed.AnnotationAccepted])
			require.Equal(t, template, s.State.Objects.ConnectorSet.Spec.Template, "the new spec is held back")
			require.Equal(t, secret, s.State.Objects.ConnectorSecret.Data, "the new spec is held back")
		})
	}
}

func TestPublicationsOfTheRunningConnectorRollOutWhileANewSpecIsHeldBack(t *testing.T) {
	t.Parallel()
	forEachReason(t, func(t *testing.T, s *decidetest.Env) {
		for _, hashes := range [][]string{
			{"hash-0"}, {"hash-0", "new-1", "new-2"}, {"other-0", "new-1"},
		} {
			s.State.TaskConfigs = decidetest.Published(decidetest.Connector(), hashes...)
			s.Settle()
			require.Equal(t, len(hashes), s.Tasks())
			for id, hash := range hashes {
				require.Equal(t, hash, s.TaskHash(id))
			}
			published := decidetest.Condition(
				t, s.State.Connector.Status.Conditions, connectv1.ConditionTaskConfigsPublished)
			require.Equal(t, connectv1.ReasonPublished, published.Reason)
		}
		s.State.TaskConfigs = decidetest.Published(decidetest.Connector(), decidetest.Hashes(4)...)
		s.Settle()
		require.Equal(t, 2, s.Tasks(), "more tasks than the accepted tasks.max")
	})
}

func TestRestartRequestsAreCarriedOutWhileANewSpecIsHeldBack(t *testing.T) {
	t.Parallel()
	forEachReason(t, func(t *testing.T, s *decidetest.Env) {
		pod := s.Task(1)
		pod.Annotations[contract.ManualRollingUpdate] = "true"
		plan := s.Step()
		require.Len(t, plan.Restarts, 1)
		s.RunPods()
		require.NotSame(t, pod, s.Task(1))

		pod = s.Task(2)
		s.State.Connector.Annotations = map[string]string{contract.RestartTask: "2"}
		s.Settle()
		require.NotSame(t, pod, s.Task(2))
		require.Empty(t, s.State.Connector.Annotations)
	})
}

func TestStateAppliesWhileANewSpecIsHeldBack(t *testing.T) {
	t.Parallel()
	forEachReason(t, func(t *testing.T, s *decidetest.Env) {
		for _, step := range []struct {
			state connectv1.ConnectorState
			phase connectv1.ConnectorPhase
			pods  int
		}{
			{connectv1.StatePaused, connectv1.PhasePaused, 1}, {connectv1.StateRunning, connectv1.PhaseRunning, 4},
			{connectv1.StateStopped, connectv1.PhaseStopped, 0}, {connectv1.StateRunning, connectv1.PhaseRunning, 4},
		} {
			s.State.Connector.Spec.State = step.state
			s.Settle()
			require.Equal(t, step.phase, s.State.Connector.Status.State)
			require.Equal(t, step.pods, s.Workload())
		}
	})
}

func TestFenceRunsWithTheAcceptedSpecWhileANewSpecIsHeldBack(t *testing.T) {
	t.Parallel()
	s := holdBack(t, connectv1.ReasonConfigRejected)
	s.State.Connector.Spec.Connector.Image = "new:1"
	s.State.TaskConfigs = decidetest.Published(decidetest.Connector(), "new-0", "new-1")
	s.State.TaskConfigs.Annotations[contract.AnnotationExactlyOnce] = "true"
	s.Termination = nil
	s.Step()
	s.RunPods()
	fence := s.Step().OneShots.OneShots
	require.Len(t, fence, 1)
	require.Equal(t, "test-fence", *fence[0].Name)
	require.Equal(t, "jcustenborder/connect-k8s-runner:0.1-SNAPSHOT", *fence[0].Spec.Containers[0].Image)
	require.Nil(t, fence[0].Spec.ServiceAccountName)
	s.Settle()
	require.Equal(t, "2/2", s.State.Connector.Status.TaskSummary)
}

func TestTasksStartIfTheFirstPublicationFollowsARejectedChange(t *testing.T) {
	t.Parallel()
	s := decidetest.New(t, observed.State{Connector: decidetest.Connector(), Worker: decidetest.Worker()})
	s.Settle()
	heldBack[connectv1.ReasonConfigRejected](s)
	s.Settle()
	s.State.TaskConfigs = decidetest.Published(decidetest.Connector(), decidetest.Hashes(2)...)
	s.Settle()
	require.Equal(t, "2/2", s.State.Connector.Status.TaskSummary)
}

func TestPublicationsRollOutIfAnOlderVersionDidNotRecordTasksMax(t *testing.T) {
	t.Parallel()
	s := holdBack(t, connectv1.ReasonConfigRejected)
	delete(s.State.Objects.ConnectorSet.Annotations, "weir.dev/accepted-tasks-max")
	s.State.TaskConfigs = decidetest.Published(decidetest.Connector(), "hash-0", "new-1")
	s.Settle()
	require.Equal(t, "2/2", s.State.Connector.Status.TaskSummary)
}

func TestRestartRequestWaitsWhilePodsCannotStart(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*observed.State){
		"worker Secret is deleted": func(s *observed.State) { s.Worker = nil },
		"name conflict": func(s *observed.State) {
			s.Objects.TaskConfigs = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "test-tasks"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(2)...)
			valid := s.State
			change(&s.State)
			s.State.Connector.Annotations = map[string]string{contract.RestartTask: "1"}
			plan := s.Step()
			require.True(t, plan.Empty(), "the request is kept")
			s.State.Worker, s.State.Objects = valid.Worker, valid.Objects
			pod := s.Task(1)
			s.Settle()
			require.NotSame(t, pod, s.Task(1))
			require.Empty(t, s.State.Connector.Annotations)
		})
	}
}

func TestTasksMaxAppliesWhileANewSpecIsHeldBack(t *testing.T) {
	t.Parallel()
	for reason := range heldBack {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			s := holdBack(t, reason)
			image := s.State.Objects.ConnectorSet.Spec.Template.Spec.Containers[0].Image
			for _, tasks := range []int{5, 1} {
				before := s.Pod("test-connector-0")
				s.State.Connector.Spec.TasksMax = ptr.To(int32(tasks)) //nolint:gosec // small
				s.Settle()
				require.NotSame(t, before, s.Pod("test-connector-0"), "only the connector can create other task configs")
				accepted := decidetest.Connector()
				accepted.Spec.TasksMax = s.State.Connector.Spec.TasksMax
				require.Equal(t, spec.Merge(accepted, nil).Generation(),
					observed.EnvOf(s.State.Objects.ConnectorSet, contract.TypeConnector, contract.EnvConfigGeneration),
					"the accepted configuration with the new tasks.max")
				s.State.TaskConfigs = decidetest.Published(accepted, decidetest.Hashes(tasks)...)
				s.Settle()
				require.Equal(t, tasks, s.Tasks())
				require.Equal(t, image, s.State.Objects.ConnectorSet.Spec.Template.Spec.Containers[0].Image)
			}
			valid := decidetest.Condition(t, s.State.Connector.Status.Conditions, connectv1.ConditionConfigValid)
			require.Equal(t, reason, valid.Reason)
		})
	}
}

func TestRevertedSpecKeepsTheTasksMaxThatWasSetMeanwhile(t *testing.T) {
	t.Parallel()
	s := holdBack(t, connectv1.ReasonConfigRejected)
	s.State.Connector.Spec.TasksMax = ptr.To[int32](2)
	s.Settle()
	accepted := decidetest.Connector()
	accepted.Spec.TasksMax = s.State.Connector.Spec.TasksMax
	s.State.TaskConfigs = decidetest.Published(accepted, decidetest.Hashes(2)...)
	s.Settle()
	before := s.Pod("test-connector-0")
	s.State.Connector.Spec.ConnectorConfig = accepted.Spec.ConnectorConfig
	s.Settle()
	require.Same(t, before, s.Pod("test-connector-0"), "it runs with this configuration already")
	require.Equal(t, connectv1.PhaseRunning, s.State.Connector.Status.State)
}

func TestConfigThatIsNotTheAcceptedOneIsNotScaled(t *testing.T) {
	t.Parallel()
	s := holdBack(t, connectv1.ReasonConfigRejected)
	s.State.Connector.Spec.TasksMax = ptr.To[int32](2)
	s.State.AcceptedConfig = map[string]string{"connector.class": "another"}
	plan, err := decide.Connector(s.State, spec.Of(s.State))
	require.NoError(t, err)
	require.Empty(t, plan.Secrets)
	require.Empty(t, plan.StatefulSets)
}
