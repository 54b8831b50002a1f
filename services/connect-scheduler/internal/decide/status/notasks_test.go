package status_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

func TestConnectorWithoutTasksSaysSo(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector())
	ready := decidetest.Condition(t, s.State.Connector.Status.Conditions, connectv1.ConditionReady)
	require.Equal(t, metav1.ConditionTrue, ready.Status)
	require.Equal(t, connectv1.ReasonNoTasks, ready.Reason)
}

func TestConditionPausedOfAConnectorThatIsNotPaused(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(1)...)
	paused := decidetest.Condition(t, s.State.Connector.Status.Conditions, connectv1.ConditionPaused)
	require.Equal(t, metav1.ConditionFalse, paused.Status)
	require.Equal(t, connectv1.ReasonNotPaused, paused.Reason)
}

func TestOverriddenTasksMaxIsReported(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		tasksMax *int32
		own      string
		message  string
	}{
		"both": {ptr.To[int32](5), "3", "the spec and the objects that it references are valid; spec.tasksMax 5, which " +
			"kubectl scale sets, overrides tasks.max 3 of connectorConfig; remove one of them"},
		"equal":         {ptr.To[int32](3), "3", "the spec and the objects that it references are valid"},
		"only tasksMax": {ptr.To[int32](3), "", "the spec and the objects that it references are valid"},
		"only own":      {nil, "3", "the spec and the objects that it references are valid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := decidetest.Connector()
			c.Spec.TasksMax, c.Spec.ConnectorConfig["tasks.max"] = test.tasksMax, test.own
			if test.own == "" {
				delete(c.Spec.ConnectorConfig, "tasks.max")
			}
			s := decidetest.Running(t, c, decidetest.Hashes(1)...)
			valid := decidetest.Condition(t, s.State.Connector.Status.Conditions, connectv1.ConditionConfigValid)
			require.Equal(t, test.message, valid.Message)
		})
	}
}
