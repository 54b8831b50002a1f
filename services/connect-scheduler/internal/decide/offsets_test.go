package decide_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

// topicOf returns the default topic of offsets in the pod template of a StatefulSet.
func topicOf(set *appsv1.StatefulSet) string {
	for _, v := range set.Spec.Template.Spec.Containers[0].Env {
		if v.Name == contract.EnvOffsetsTopic {
			return strings.ReplaceAll(v.Value, "$(POD_NAMESPACE)", "kafka-connect-poc")
		}
	}
	return ""
}

func TestNewConnectorStoresItsOffsetsInATopicOfItsNamespace(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(2)...)
	const topic = "connect-kafka-connect-poc-offsets"
	require.Equal(t, topic, s.State.Connector.Status.DefaultOffsetsTopic)
	require.Equal(t, topic, topicOf(s.State.Objects.ConnectorSet))
	require.Equal(t, topic, topicOf(s.State.Objects.TaskSet))
	s.State.Connector.Annotations = map[string]string{contract.ConnectorOffsets: contract.OffsetsList}
	pods := s.Step().OneShots.OneShots
	require.Len(t, pods, 1)
	found := false
	for _, v := range pods[0].Spec.Containers[0].Env {
		found = found || *v.Name == contract.EnvOffsetsTopic && *v.Value == "connect-$(POD_NAMESPACE)-offsets"
	}
	require.True(t, found, "operations on offsets use the same topic")
}

// withoutTopic makes the objects those of an older version, which did not know the default topic.
func withoutTopic(t *testing.T) *decidetest.Env {
	s := decidetest.New(t, observed.State{Connector: decidetest.Connector(), Worker: decidetest.Worker()})
	// A status without the topic: an older version has written it.
	s.State.Connector.Status.ObservedGeneration = 1
	s.Settle()
	s.State.TaskConfigs = decidetest.Published(s.State.Connector, decidetest.Hashes(2)...)
	s.Settle()
	require.Equal(t, contract.DefaultOffsetsTopic, s.State.Connector.Status.DefaultOffsetsTopic)
	require.Empty(t, topicOf(s.State.Objects.ConnectorSet))
	s.State.Connector.Status.DefaultOffsetsTopic = ""
	return s
}

func TestUpgradeKeepsTheOffsetsTopicOfConnectorsAndRestartsNoPod(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*observed.State){
		"with their status":  func(*observed.State) {},
		"without the status": func(s *observed.State) { s.Connector.Status = connectv1.KafkaConnectorStatus{} },
		"without the StatefulSets": func(s *observed.State) {
			s.Objects.ConnectorSet, s.Objects.TaskSet = nil, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := withoutTopic(t)
			lose(&s.State)
			for range 5 {
				require.Empty(t, s.Step().Restarts)
				s.RunPods()
			}
			require.Equal(t, contract.DefaultOffsetsTopic, s.State.Connector.Status.DefaultOffsetsTopic)
			require.Empty(t, topicOf(s.State.Objects.ConnectorSet))
		})
	}
}

func TestRecreatedConnectorUsesTheTopicOfItsNamespace(t *testing.T) {
	t.Parallel()
	s := withoutTopic(t)
	again := decidetest.Connector()
	again.UID = "another-uid"
	s.State.Connector = again
	s.Step()
	waiting := decidetest.Condition(t, s.State.Connector.Status.Conditions, connectv1.ConditionConfigValid)
	require.Equal(t, connectv1.ReasonWaitingForDeletion, waiting.Reason)
	s.State.Objects, s.State.TaskConfigs, s.Pods = observed.Objects{}, nil, nil
	s.Settle()
	require.Equal(t, "connect-kafka-connect-poc-offsets", topicOf(s.State.Objects.ConnectorSet))
}

func TestDefaultOffsetsTopicIsReadFromTheStatefulSetIfTheStatusIsLost(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(1)...)
	s.State.Connector.Status = connectv1.KafkaConnectorStatus{}
	require.Empty(t, s.Step().Restarts)
	require.Equal(t, "connect-kafka-connect-poc-offsets", s.State.Connector.Status.DefaultOffsetsTopic)
}

// sharing returns a worker Secret that names the topic of offsets.
func sharing(topic string) *observed.Secret {
	worker := decidetest.Worker()
	worker.Worker = observed.WorkerSettings{OffsetsTopic: topic, Servers: []string{"broker.kafka:9092"}}
	return worker
}

func TestNewerConnectorWithTheOffsetsOfAnotherDoesNotStart(t *testing.T) {
	t.Parallel()
	newer := metav1.NewTime(decidetest.Noon.Add(time.Hour))
	for name, test := range map[string]struct {
		change  func(s *observed.State, n *observed.Namesake)
		refused bool
	}{
		"the other is older": {func(s *observed.State, n *observed.Namesake) {}, true},
		"the other is newer": {func(s *observed.State, n *observed.Namesake) {
			n.Connector.CreationTimestamp = newer
		}, false},
		"the other is newer and runs": {func(s *observed.State, n *observed.Namesake) {
			n.Connector.CreationTimestamp = newer
			n.Set = &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{
				{UID: n.Connector.UID, Controller: new(true)},
			}}}
		}, true},
		"both are sinks": {func(s *observed.State, n *observed.Namesake) {
			for _, c := range []*connectv1.KafkaConnector{s.Connector, n.Connector} {
				c.Spec.ConnectorConfig["connector.class"], c.Spec.ConnectorConfig["topics"] = "JdbcSinkConnector", "orders"
			}
		}, false},
		"another topic": {func(s *observed.State, n *observed.Namesake) { n.Worker = sharing("other") }, false},
		"no worker":     {func(s *observed.State, n *observed.Namesake) { n.Worker = nil }, false},
		"default topics": {func(s *observed.State, n *observed.Namesake) {
			s.Worker, n.Worker = sharing(""), sharing("")
		}, false},
		"another cluster": {func(s *observed.State, n *observed.Namesake) {
			n.Worker.Worker.Servers = []string{"other.kafka:9092"}
		}, false},
		"the old default of the other": {func(s *observed.State, n *observed.Namesake) {
			s.Worker, n.Worker = sharing(contract.DefaultOffsetsTopic), sharing("")
			n.Connector.Status.DefaultOffsetsTopic = contract.DefaultOffsetsTopic
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := decidetest.New(t, observed.State{Connector: decidetest.Connector(), Worker: sharing("shared")})
			s.State.Connector.CreationTimestamp = metav1.NewTime(decidetest.Noon.Add(time.Minute))
			other := observed.Namesake{Connector: decidetest.Connector(), Worker: sharing("shared")}
			other.Connector.Namespace, other.Connector.UID = "secret-project", "other-uid"
			other.Connector.CreationTimestamp = metav1.NewTime(decidetest.Noon)
			test.change(&s.State, &other)
			s.State.Namesakes = []observed.Namesake{other}
			s.Settle()
			valid := decidetest.Condition(t, s.State.Connector.Status.Conditions, connectv1.ConditionConfigValid)
			if !test.refused {
				require.Equal(t, connectv1.ReasonAccepted, valid.Reason)
				return
			}
			require.Equal(t, connectv1.ReasonOffsetsConflict, valid.Reason)
			require.Contains(t, valid.Message, "set another offset.storage.topic in worker.properties of Secret worker-config")
			require.False(t, strings.Contains(valid.Message, "secret-project"), "the message does not name the other namespace")
			require.Nil(t, s.State.Objects.ConnectorSet)
			s.State.Namesakes = nil
			s.Settle()
			require.NotNil(t, s.State.Objects.ConnectorSet, "it starts when the other is gone")
		})
	}
}

func TestRunningConnectorIsNeverRefusedForItsOffsets(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(1)...)
	s.State.Worker = sharing("shared")
	other := observed.Namesake{Connector: decidetest.Connector(), Worker: sharing("shared")}
	s.State.Namesakes = []observed.Namesake{other}
	s.Settle()
	require.Equal(t, connectv1.PhaseRunning, s.State.Connector.Status.State)
}
