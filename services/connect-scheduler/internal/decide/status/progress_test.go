package status_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/status"
)

// starting is the status of a connector with one running and one pending task.
func starting() connectv1.KafkaConnectorStatus {
	return connectv1.KafkaConnectorStatus{
		ObservedGeneration: 1, State: connectv1.PhasePending,
		Connector: &connectv1.ConnectorStatus{State: connectv1.PodRunning, Pod: "a-connector-0"},
		Tasks: []connectv1.TaskStatus{
			{ID: 0, State: connectv1.PodRunning, Pod: "a-tasks-0"}, {ID: 1, State: connectv1.PodPending},
		},
		TasksDesired: 2, TasksReady: 1, TaskSummary: "1/2",
		Conditions: []metav1.Condition{{
			Type: connectv1.ConditionReady, Status: metav1.ConditionFalse, Reason: connectv1.ReasonStarting, Message: "1 of 2",
		}},
	}
}

func TestOnlyStartingPodsAreProgress(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change   func(*connectv1.KafkaConnectorStatus)
		progress bool
	}{
		"a pod starts": {func(s *connectv1.KafkaConnectorStatus) { s.Tasks[1].State = connectv1.PodStarting }, true},
		"a task is ready": {func(s *connectv1.KafkaConnectorStatus) {
			s.Tasks[1].State, s.TasksReady, s.TaskSummary = connectv1.PodRunning, 2, "2/2"
		}, true},
		"a pod gets a node": {func(s *connectv1.KafkaConnectorStatus) { s.Tasks[1].Node = "n" }, true},
		"a pod gets a node, and a message": {func(s *connectv1.KafkaConnectorStatus) {
			s.Tasks[1].Node, s.Conditions[0].Message = "n", "2 of 2"
		}, true},
		"only another message": {func(s *connectv1.KafkaConnectorStatus) { s.Conditions[0].Message = "2 of 2" }, false},
		"another reason":       {func(s *connectv1.KafkaConnectorStatus) { s.Conditions[0].Reason = "Rolling" }, false},
		"another status": {func(s *connectv1.KafkaConnectorStatus) {
			s.Conditions[0].Status = metav1.ConditionTrue
		}, false},
		"a new condition": {func(s *connectv1.KafkaConnectorStatus) {
			s.Conditions = append(s.Conditions, metav1.Condition{Type: connectv1.ConditionDegraded})
		}, false},
		"another state":        {func(s *connectv1.KafkaConnectorStatus) { s.State = connectv1.PhaseDegraded }, false},
		"a running task stops": {func(s *connectv1.KafkaConnectorStatus) { s.Tasks[0].State = connectv1.PodStopping }, false},
		"a running task starts again": {func(s *connectv1.KafkaConnectorStatus) {
			s.Tasks[0].State = connectv1.PodStarting
		}, false},
		"a task fails":          {func(s *connectv1.KafkaConnectorStatus) { s.Tasks[1].State = connectv1.PodFailed }, false},
		"a container restarts":  {func(s *connectv1.KafkaConnectorStatus) { s.Tasks[0].Restarts = 1 }, false},
		"the connector stops":   {func(s *connectv1.KafkaConnectorStatus) { s.Connector.State = connectv1.PodAbsent }, false},
		"another task":          {func(s *connectv1.KafkaConnectorStatus) { s.Tasks[1].ID = 2 }, false},
		"one task less":         {func(s *connectv1.KafkaConnectorStatus) { s.Tasks = s.Tasks[:1] }, false},
		"another desired count": {func(s *connectv1.KafkaConnectorStatus) { s.TasksDesired = 3 }, false},
		"a restart is recorded": {func(s *connectv1.KafkaConnectorStatus) { s.LastRestart = "now" }, false},
		"a pod restarts": {func(s *connectv1.KafkaConnectorStatus) {
			s.Restarting = []connectv1.RestartingPod{{Pod: "a-tasks-0"}}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			after := starting()
			test.change(&after)
			require.Equal(t, test.progress, status.OnlyProgress(starting(), after))
		})
	}
}
