package oneshot_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

func refused(reason, result string) *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{
		ExitCode: 10,
		Message:  `{"reason":"` + reason + `","message":"no","result":` + result + `}`,
	}
}

func TestNewConfigRollsOutOnlyAfterThePluginHasAcceptedIt(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
	before := s.State.Objects.ConnectorSet
	s.State.Connector.Spec.ConnectorConfig["kafka.topic"] = "other"

	asked := s.Step()
	require.Len(t, asked.OneShots.OneShots, 1)
	require.Equal(t, "test-validate", *asked.OneShots.OneShots[0].Name)
	require.Empty(t, asked.StatefulSets, "nothing is touched before there is an answer")
	require.Equal(
		t,
		metav1.ConditionUnknown,
		decidetest.Condition(t, asked.Status.Conditions, connectv1.ConditionConfigValid).Status,
	)

	accepted := s.Step()
	require.NotEmpty(t, accepted.StatefulSets)
	s.Settle()
	require.NotEqual(
		t,
		before.Annotations[observed.AnnotationAccepted],
		s.State.Objects.ConnectorSet.Annotations[observed.AnnotationAccepted],
	)
	require.Nil(t, s.OneShot(contract.OneShotValidate), "the one-shot pod is gone")
}

func TestRejectedConfigIsReportedByFieldAndRunningPodsAreUnchanged(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
	s.Termination = refused(
		contract.ReasonConfigInvalid,
		`{"errors":{"quickstart":["no such quickstart"],"kafka.topic":["must not be empty","must be a name"]}}`,
	)
	s.State.Connector.Spec.ConnectorConfig["kafka.topic"] = ""
	s.Settle()
	valid := decidetest.Condition(t, s.State.Connector.Status.Conditions, connectv1.ConditionConfigValid)
	require.Equal(t, connectv1.ReasonConfigRejected, valid.Reason)
	require.Equal(
		t,
		"spec.connectorConfig.kafka.topic: must not be empty, must be a name; spec.connectorConfig.quickstart: no such "+
			"quickstart (running pods are unchanged)",
		valid.Message,
	)
	require.Equal(t, "3/3", s.State.Connector.Status.TaskSummary)
	require.Contains(
		t,
		string(spec.Encode(s.State.Objects.ConnectorSet.Annotations)),
		spec.Merge(decidetest.Connector(), nil).CandidateKey(),
	)

	s.State.Connector.Spec.ConnectorConfig["kafka.topic"] = "users"
	s.Settle()
	require.Equal(
		t,
		connectv1.ReasonAccepted,
		decidetest.Condition(t, s.State.Connector.Status.Conditions, connectv1.ConditionConfigValid).Reason,
		"taking the change back is enough",
	)
	require.Nil(t, s.OneShot(contract.OneShotValidate))
}

func TestFailedValidationStopsTheRolloutAndTellsHowToRetry(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(1)...)
	s.Termination = refused(contract.ReasonOutOfMemory, `{}`)
	s.State.Connector.Spec.ConnectorConfig["kafka.topic"] = "other"
	s.Settle()
	valid := decidetest.Condition(t, s.State.Connector.Status.Conditions, connectv1.ConditionConfigValid)
	require.Equal(t, connectv1.ReasonValidationFailed, valid.Reason)
	require.Contains(t, valid.Message, "running pods are unchanged: attempt 1 failed: OutOfMemory: no; ")
	s.Termination = nil
	s.Remove("test-validate")
	s.Settle()
	require.Equal(
		t,
		connectv1.ReasonAccepted,
		decidetest.Condition(t, s.State.Connector.Status.Conditions, connectv1.ConditionConfigValid).Reason,
	)
}

func TestChangeOfTasksMaxNeedsNoValidation(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
	s.State.Connector.Spec.ConnectorConfig["tasks.max"] = "5"
	require.Empty(t, s.Step().OneShots.OneShots)
}

func TestCandidateSecretOfAnotherOwnerIsAConflict(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
	s.State.Objects.Candidate = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "test-validate"}}
	s.State.Connector.Spec.ConnectorConfig["kafka.topic"] = "other"
	s.Step()
	require.Equal(
		t,
		connectv1.ReasonNameConflict,
		decidetest.Condition(t, s.Step().Status.Conditions, connectv1.ConditionConfigValid).Reason,
	)
}

func exactlyOnce(facts *observed.Secret) *observed.Secret {
	facts.Annotations[contract.AnnotationExactlyOnce] = "true"
	return facts
}

func TestExactlyOnceSourceStopsAndFencesPreviousTasksBeforeNewTasksStart(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(3)...)
	s.State.TaskConfigs = exactlyOnce(decidetest.Published(s.State.Connector, "new-0", "new-1"))

	stop := s.Step()
	require.EqualValues(t, 0, *stop.StatefulSets[0].Spec.Replicas)
	require.Equal(
		t,
		connectv1.ReasonFencing,
		decidetest.Condition(t, stop.Status.Conditions, connectv1.ConditionTaskConfigsPublished).Reason,
	)
	require.Empty(t, s.Step().OneShots.OneShots, "the previous tasks still run")
	s.RunPods()

	fence := s.Step()
	require.Equal(
		t,
		[]string{"offsets", "fence", "--fence-tasks", "3"},
		fence.OneShots.OneShots[0].Spec.Containers[0].Args,
	)
	require.Empty(t, fence.StatefulSets, "no task starts before the fence is up")
	start := s.Step()
	require.EqualValues(t, 2, *start.StatefulSets[0].Spec.Replicas)
	s.RunPods()
	s.Settle()
	require.Equal(t, "2/2", s.State.Connector.Status.TaskSummary)
	require.Equal(t, "new-1", s.State.Connector.Status.Tasks[1].ConfigHash)
	require.Nil(t, s.OneShot(contract.OneShotFence))
}

func TestFailedFencePreventsTheStartOfNewTasks(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(2)...)
	s.Termination = refused(contract.ReasonOffsetsFailed, `{}`)
	s.State.TaskConfigs = exactlyOnce(decidetest.Published(s.State.Connector, "new-0", "new-1"))
	s.Settle()
	published := decidetest.Condition(t, s.State.Connector.Status.Conditions, connectv1.ConditionTaskConfigsPublished)
	require.Equal(t, connectv1.ReasonFencingFailed, published.Reason)
	require.Contains(t, published.Message, "to retry now, delete pod test-fence")
	require.Zero(t, s.State.Connector.Status.TasksReady)
}

func TestOffsetsOperations(t *testing.T) {
	t.Parallel()
	listed := &corev1.ContainerStateTerminated{
		Message: `{"reason":"Completed","message":"done","result":{"offsets":[{"partition":{"filename":"/a"},` +
			`"offset":{"position":42}}]}}`,
	}
	for name, test := range map[string]struct {
		operation string
		state     connectv1.ConnectorState
		alter     string
		says      *corev1.ContainerStateTerminated
		want      connectv1.OffsetsStatus
		args      []string
	}{
		"are listed at any time": {
			operation: contract.OffsetsList, says: listed, args: []string{"offsets", "list"},
			want: connectv1.OffsetsStatus{
				Operation: "list",
				State:     connectv1.OffsetsDone,
				Message:   "done",
				Offsets:   []connectv1.PartitionOffset{{Partition: `{"filename":"/a"}`, Offset: `{"position":42}`}},
			},
		},
		"too many for a status are said to be": {
			operation: contract.OffsetsList,
			says:      &corev1.ContainerStateTerminated{Message: `{"reason":"Completed","message":"done"}`},
			args:      []string{"offsets", "list"},
			want: connectv1.OffsetsStatus{
				Operation: "list",
				State:     connectv1.OffsetsDone,
				Message:   "the offsets do not fit into the status; run connect-runner offsets list to read them",
			},
		},
		"are not reset while the connector runs": {
			operation: contract.OffsetsReset,
			want: connectv1.OffsetsStatus{
				Operation: "reset",
				State:     connectv1.OffsetsRefused,
				Message:   "reset requires a stopped connector; set spec.state to stopped and request reset again",
			},
		},
		"are reset once it is stopped": {
			operation: contract.OffsetsReset, state: connectv1.StateStopped, args: []string{"offsets", "reset"},
			want: connectv1.OffsetsStatus{Operation: "reset", State: connectv1.OffsetsDone, Message: "done"},
		},
		"are altered from a ConfigMap": {
			operation: contract.OffsetsAlter,
			state:     connectv1.StateStopped,
			alter:     "new-offsets",
			args:      []string{"offsets", "alter", "--offsets", "/etc/weir/candidate/offsets.json"},
			want:      connectv1.OffsetsStatus{Operation: "alter", State: connectv1.OffsetsDone, Message: "done"},
		},
		"are not altered to nothing": {
			operation: contract.OffsetsAlter, state: connectv1.StateStopped,
			want: connectv1.OffsetsStatus{
				Operation: "alter",
				State:     connectv1.OffsetsRefused,
				Message: "spec.alterOffsets.fromConfigMap.name is empty; set the name of the ConfigMap whose key offsets.json " +
					"holds the new offsets",
			},
		},
		"that could not be changed say why": {
			operation: contract.OffsetsReset,
			state:     connectv1.StateStopped,
			says:      refused(contract.ReasonConfigInvalid, `{}`),
			args:      []string{"offsets", "reset"},
			want:      connectv1.OffsetsStatus{Operation: "reset", State: connectv1.OffsetsFailed, Message: "ConfigInvalid: no"},
		},
		"know no other operation": {
			operation: "forget",
			want: connectv1.OffsetsStatus{
				Operation: "forget",
				State:     connectv1.OffsetsRefused,
				Message:   `annotation strimzi.io/connector-offsets: "forget" must be list, alter or reset`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(1)...)
			s.State.Connector.Spec.State = test.state
			if test.alter != "" {
				s.State.Connector.Spec.AlterOffsets = &connectv1.AlterOffsets{
					FromConfigMap: corev1.LocalObjectReference{Name: test.alter},
				}
			}
			s.Settle()
			s.Termination = test.says
			s.State.Connector.Annotations = map[string]string{contract.ConnectorOffsets: test.operation}
			if plan := s.Step(); test.args != nil {
				require.Equal(t, test.args, plan.OneShots.OneShots[0].Spec.Containers[0].Args)
			}
			s.Settle()
			reported := *s.State.Connector.Status.Offsets
			reported.Time, reported.ID = metav1.Time{}, ""
			require.Equal(t, test.want, reported)
			require.Empty(t, s.State.Connector.Annotations)
			require.Nil(t, s.OneShot(contract.OneShotOffsets))
		})
	}
}

func TestPodOfAOneShotOperation(t *testing.T) {
	t.Parallel()
	s := observed.State{Connector: decidetest.Connector(), Now: decidetest.Noon}
	testkit.Golden(
		t,
		"../../../testdata/golden/one-shot.yaml",
		desired.NewBuilder(s, spec.Of(s)).OneShotPod(desired.OneShot{
			Operation: contract.OneShotValidate, Request: "key", Candidate: true, Args: []string{"validate"},
		}),
	)
}

func TestInvalidRequestOnANewConnectorIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	c := decidetest.Connector()
	c.Annotations = map[string]string{contract.ConnectorOffsets: "drop"}
	input := observed.State{Connector: c, Worker: decidetest.Worker(), Now: decidetest.Noon}
	plan, err := decide.Connector(input, spec.Of(input))
	require.NoError(t, err)
	require.NotEmpty(t, plan.StatefulSets)
	require.Equal(t, []string{contract.ConnectorOffsets}, plan.Done)
	require.True(t, plan.StatusChanged(), "the annotation goes, so this is the time to say why")
	require.Equal(t, connectv1.OffsetsRefused, plan.Status.Offsets.State)
}
