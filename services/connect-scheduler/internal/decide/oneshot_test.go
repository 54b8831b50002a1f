package decide

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/testkit"
)

func refused(reason, result string) *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{ExitCode: 10, Message: `{"reason":"` + reason + `","message":"no","result":` + result + `}`}
}

func TestANewConfigIsRolledOnlyOnceThePluginAcceptsIt(t *testing.T) {
	t.Parallel()
	s := runningSim(t, seed(), hashes(3)...)
	before := s.state.Live.ConnectorSet
	s.state.Connector.Spec.ConnectorConfig["kafka.topic"] = "other"

	asked := s.step()
	require.Len(t, asked.OneShots, 1)
	require.Equal(t, "test-validate", *asked.OneShots[0].Name)
	require.Empty(t, asked.StatefulSets, "nothing is touched before there is an answer")
	require.Equal(t, metav1.ConditionUnknown, toldOf(t, asked.Status.Conditions, connectv1.ConditionConfigValid).Status)

	accepted := s.step()
	require.NotEmpty(t, accepted.StatefulSets)
	s.settle()
	require.NotEqual(t, before.Annotations[annotationAccepted], s.state.Live.ConnectorSet.Annotations[annotationAccepted])
	require.Nil(t, oneShotPod(s.state, contract.OneShotValidate), "the errand's pod is gone")
}

func TestAConfigThatThePluginRefusesIsToldByFieldAndNothingIsTouched(t *testing.T) {
	t.Parallel()
	s := runningSim(t, seed(), hashes(3)...)
	s.says = refused(contract.ReasonConfigInvalid, `{"errors":{"quickstart":["no such quickstart"],"kafka.topic":["must not be empty","must be a name"]}}`)
	s.state.Connector.Spec.ConnectorConfig["kafka.topic"] = ""
	s.settle()
	valid := toldOf(t, s.state.Connector.Status.Conditions, connectv1.ConditionConfigValid)
	require.Equal(t, connectv1.ReasonConfigRejected, valid.Reason)
	require.Equal(t, "spec.connectorConfig.kafka.topic: must not be empty, must be a name; spec.connectorConfig.quickstart: no such quickstart (what runs goes on with the former configuration)", valid.Message)
	require.Equal(t, "3/3", s.state.Connector.Status.TaskSummary)
	require.Contains(t, string(encode(s.state.Live.ConnectorSet.Annotations)), effectiveOf(seed(), nil).candidateKey())

	s.state.Connector.Spec.ConnectorConfig["kafka.topic"] = "users"
	s.settle()
	require.Equal(t, connectv1.ReasonAccepted, toldOf(t, s.state.Connector.Status.Conditions, connectv1.ConditionConfigValid).Reason, "taking the change back is enough")
	require.Nil(t, oneShotPod(s.state, contract.OneShotValidate))
}

func TestAPluginThatCannotBeAskedHoldsTheRollAndSaysHowToGoOn(t *testing.T) {
	t.Parallel()
	s := runningSim(t, seed(), hashes(1)...)
	s.says = refused(contract.ReasonOutOfMemory, `{}`)
	s.state.Connector.Spec.ConnectorConfig["kafka.topic"] = "other"
	s.settle()
	valid := toldOf(t, s.state.Connector.Status.Conditions, connectv1.ConditionConfigValid)
	require.Equal(t, connectv1.ReasonValidationFailed, valid.Reason)
	require.Contains(t, valid.Message, "OutOfMemory: no; delete pod test-validate to try again")
	s.says = nil
	s.remove("test-validate")
	s.settle()
	require.Equal(t, connectv1.ReasonAccepted, toldOf(t, s.state.Connector.Status.Conditions, connectv1.ConditionConfigValid).Reason)
}

func TestANumberOfTasksIsNothingToAskThePluginAbout(t *testing.T) {
	t.Parallel()
	s := runningSim(t, seed(), hashes(3)...)
	s.state.Connector.Spec.ConnectorConfig["tasks.max"] = "5"
	require.Empty(t, s.step().OneShots)
}

func TestACandidateOfSomebodyElseIsNotTaken(t *testing.T) {
	t.Parallel()
	s := runningSim(t, seed(), hashes(3)...)
	s.state.Live.Candidate = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "test-validate"}}
	s.state.Connector.Spec.ConnectorConfig["kafka.topic"] = "other"
	s.step()
	require.Equal(t, connectv1.ReasonNameConflict, toldOf(t, s.step().Status.Conditions, connectv1.ConditionConfigValid).Reason)
}

func exactlyOnce(facts *SecretFacts) *SecretFacts {
	facts.Annotations[contract.AnnotationExactlyOnce] = "true"
	return facts
}

func TestAnExactlyOnceSourceStopsAndFencesAllFormerTasksBeforeNewOnesStart(t *testing.T) {
	t.Parallel()
	s := runningSim(t, seed(), hashes(3)...)
	s.state.TaskConfigs = exactlyOnce(publishedBy(s.state.Connector, "new-0", "new-1"))

	stop := s.step()
	require.EqualValues(t, 0, *stop.StatefulSets[0].Spec.Replicas)
	require.Equal(t, connectv1.ReasonFencing, toldOf(t, stop.Status.Conditions, connectv1.ConditionTaskConfigsPublished).Reason)
	require.Empty(t, s.step().OneShots, "the former tasks are still there")
	s.runPods()

	fence := s.step()
	require.Equal(t, []string{"offsets", "fence", "--fence-tasks", "3"}, fence.OneShots[0].Spec.Containers[0].Args)
	require.Empty(t, fence.StatefulSets, "no task starts before the fence is up")
	start := s.step()
	require.EqualValues(t, 2, *start.StatefulSets[0].Spec.Replicas)
	s.runPods()
	s.settle()
	require.Equal(t, "2/2", s.state.Connector.Status.TaskSummary)
	require.Equal(t, "new-1", s.state.Connector.Status.Tasks[1].ConfigHash)
	require.Nil(t, oneShotPod(s.state, contract.OneShotFence))
}

func TestAFenceThatFailsKeepsNewTasksFromStarting(t *testing.T) {
	t.Parallel()
	s := runningSim(t, seed(), hashes(2)...)
	s.says = refused(contract.ReasonOffsetsFailed, `{}`)
	s.state.TaskConfigs = exactlyOnce(publishedBy(s.state.Connector, "new-0", "new-1"))
	s.settle()
	told := toldOf(t, s.state.Connector.Status.Conditions, connectv1.ConditionTaskConfigsPublished)
	require.Equal(t, connectv1.ReasonFencingFailed, told.Reason)
	require.Contains(t, told.Message, "delete pod test-fence to try again")
	require.Zero(t, s.state.Connector.Status.TasksReady)
}

func TestOffsetsOnRequest(t *testing.T) {
	t.Parallel()
	listed := &corev1.ContainerStateTerminated{Message: `{"reason":"Completed","message":"done","result":{"offsets":[{"partition":{"filename":"/a"},"offset":{"position":42}}]}}`}
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
			want: connectv1.OffsetsStatus{Operation: "list", State: connectv1.OffsetsDone, Message: "done", Offsets: []connectv1.PartitionOffset{{Partition: `{"filename":"/a"}`, Offset: `{"position":42}`}}},
		},
		"too many for a status are said to be": {
			operation: contract.OffsetsList, says: &corev1.ContainerStateTerminated{Message: `{"reason":"Completed","message":"done"}`}, args: []string{"offsets", "list"},
			want: connectv1.OffsetsStatus{Operation: "list", State: connectv1.OffsetsDone, Message: "there are more offsets than fit into a status; read them with connect-runner offsets list"},
		},
		"are not reset while the connector runs": {
			operation: contract.OffsetsReset,
			want:      connectv1.OffsetsStatus{Operation: "reset", State: connectv1.OffsetsRefused, Message: "offsets can be changed only while the connector is stopped: set spec.state to stopped, then ask for reset again"},
		},
		"are reset once it is stopped": {
			operation: contract.OffsetsReset, state: connectv1.StateStopped, args: []string{"offsets", "reset"},
			want: connectv1.OffsetsStatus{Operation: "reset", State: connectv1.OffsetsDone, Message: "done"},
		},
		"are altered from a ConfigMap": {
			operation: contract.OffsetsAlter, state: connectv1.StateStopped, alter: "new-offsets", args: []string{"offsets", "alter", "--offsets", "/etc/weir/candidate/offsets.json"},
			want: connectv1.OffsetsStatus{Operation: "alter", State: connectv1.OffsetsDone, Message: "done"},
		},
		"are not altered to nothing": {
			operation: contract.OffsetsAlter, state: connectv1.StateStopped,
			want: connectv1.OffsetsStatus{Operation: "alter", State: connectv1.OffsetsRefused, Message: "spec.alterOffsets.fromConfigMap.name is empty; name the ConfigMap whose key offsets.json has the new offsets"},
		},
		"that could not be changed say why": {
			operation: contract.OffsetsReset, state: connectv1.StateStopped, says: refused(contract.ReasonOffsetsFailed, `{}`), args: []string{"offsets", "reset"},
			want: connectv1.OffsetsStatus{Operation: "reset", State: connectv1.OffsetsFailed, Message: "OffsetsFailed: no"},
		},
		"know no other operation": {
			operation: "forget",
			want:      connectv1.OffsetsStatus{Operation: "forget", State: connectv1.OffsetsRefused, Message: `annotation strimzi.io/connector-offsets: "forget" is none of list, alter and reset`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := runningSim(t, seed(), hashes(1)...)
			s.state.Connector.Spec.State = test.state
			if test.alter != "" {
				s.state.Connector.Spec.AlterOffsets = &connectv1.AlterOffsets{FromConfigMap: corev1.LocalObjectReference{Name: test.alter}}
			}
			s.settle()
			s.says = test.says
			s.state.Connector.Annotations = map[string]string{contract.ConnectorOffsets: test.operation}
			if plan := s.step(); test.args != nil {
				require.Equal(t, test.args, plan.OneShots[0].Spec.Containers[0].Args)
			}
			s.settle()
			told := *s.state.Connector.Status.Offsets
			told.Time, told.ID = metav1.Time{}, ""
			require.Equal(t, test.want, told)
			require.Empty(t, s.state.Connector.Annotations)
			require.Nil(t, oneShotPod(s.state, contract.OneShotOffsets))
		})
	}
}

func TestAnErrandsPod(t *testing.T) {
	t.Parallel()
	s := State{Connector: seed(), Now: noon}
	testkit.Golden(t, goldenFile("one-shot"), oneShot{name: contract.OneShotValidate, key: "key", candidate: true, args: []string{"validate"}}.pod(s, effectiveOf(s.Connector, nil)))
}

func TestARequestThatCameWithTheConnectorIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	c := seed()
	c.Annotations = map[string]string{contract.ConnectorOffsets: "drop"}
	plan, err := Connector(State{Connector: c, Worker: workerFacts(), Now: noon})
	require.NoError(t, err)
	require.NotEmpty(t, plan.StatefulSets)
	require.Equal(t, []string{contract.ConnectorOffsets}, plan.Done)
	require.True(t, plan.StatusChanged(), "the annotation goes, so this is the time to say why")
	require.Equal(t, connectv1.OffsetsRefused, plan.Status.Offsets.State)
}
