package decide

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
)

func TestTaskConfigsThatCannotBeUsedTouchNoTask(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change  func(*SecretFacts)
		reason  string
		message string
	}{
		"none yet": {
			change: func(f *SecretFacts) { delete(f.Annotations, contract.AnnotationTaskCount) },
			reason: connectv1.ReasonNotPublishedYet, message: "waiting for the connector to publish its task configs",
		},
		"those of a former configuration": {
			change: func(f *SecretFacts) { f.Annotations[contract.AnnotationGeneration] = "former" },
			reason: connectv1.ReasonTaskConfigsOutdated, message: "waiting for the connector to publish task configs for its present configuration; those of the former one are still in use",
		},
		"a count that is no number": {
			change: func(f *SecretFacts) { f.Annotations[contract.AnnotationTaskCount] = "-2" },
			reason: connectv1.ReasonTaskConfigsInconsistent, message: `Secret test-tasks: annotation weir.dev/task-count is "-2", not a number of tasks`,
		},
		"a key too few": {
			change: func(f *SecretFacts) { delete(f.Keys, "task-1.json") },
			reason: connectv1.ReasonTaskConfigsInconsistent, message: "Secret test-tasks: key task-1.json is missing, although 3 task configs were published",
		},
		"a config that somebody else has changed": {
			change: func(f *SecretFacts) { f.Keys["task-1.json"] = KeyFacts{Hash: "changed"} },
			reason: connectv1.ReasonTaskConfigsInconsistent, message: "Secret test-tasks: the task configs are not those that annotation weir.dev/task-configs-hash was made from; somebody else has changed one",
		},
		"no JSON": {
			change: func(f *SecretFacts) { f.Keys["task-2.json"] = KeyFacts{Problem: "is no JSON object"} },
			reason: connectv1.ReasonTaskConfigInvalid, message: "Secret test-tasks: key task-2.json is no JSON object",
		},
		"more than tasks.max": {
			change: func(f *SecretFacts) { f.Annotations[contract.AnnotationTaskCount] = "4" },
			reason: connectv1.ReasonTooManyTasks, message: "the connector published 4 task configs, but tasks.max is 3; raise tasks.max, or mend the connector",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := runningSim(t, seed(), "aaaa", "bbbb", "cccc")
			test.change(s.state.TaskConfigs)
			plan := s.step()
			require.True(t, plan.Empty(), "what runs is left alone")
			require.EqualValues(t, 3, plan.Status.TasksReady)
			told := toldOf(t, plan.Status.Conditions, connectv1.ConditionTaskConfigsPublished)
			require.Equal(t, test.message, told.Message)
			require.Equal(t, test.reason, told.Reason)
			require.Equal(t, metav1.ConditionFalse, told.Status)
			require.Equal(t, test.reason, toldOf(t, plan.Status.Conditions, connectv1.ConditionReady).Reason)
		})
	}
}

func TestAConnectorThatWantsNoTasksIsReadyWithoutAny(t *testing.T) {
	t.Parallel()
	s := runningSim(t, seed())
	require.Equal(t, "0/0", s.state.Connector.Status.TaskSummary)
	require.Equal(t, metav1.ConditionTrue, toldOf(t, s.state.Connector.Status.Conditions, connectv1.ConditionReady).Status)
}

func TestTooLargeConfigsAreReportedInTheConnectorsOwnWords(t *testing.T) {
	t.Parallel()
	s := newSim(t, State{Connector: seed(), Worker: workerFacts()})
	s.settle()
	fail(s.state.Pods[0], `{"reason":"TaskConfigsTooLarge","message":"900 task configs have 1.4 MiB, and a Secret holds 1 MiB"}`, 1)
	plan := s.step()
	told := toldOf(t, plan.Status.Conditions, connectv1.ConditionTaskConfigsPublished)
	require.Equal(t, connectv1.ReasonTaskConfigsTooLarge, told.Reason)
	require.Equal(t, "900 task configs have 1.4 MiB, and a Secret holds 1 MiB", told.Message)
}
