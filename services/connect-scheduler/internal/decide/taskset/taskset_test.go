package taskset_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

func TestInvalidTaskConfigsDoNotChangeRunningTasks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change  func(*observed.Secret)
		reason  string
		message string
	}{
		"none yet": {
			change: func(f *observed.Secret) { delete(f.Annotations, contract.AnnotationTaskCount) },
			reason: connectv1.ReasonTaskConfigsLost,
			message: "Secret test-tasks was deleted; waiting for the connector to publish its task configs again; running " +
				"tasks are unchanged",
		},
		"those of a previous configuration": {
			change: func(f *observed.Secret) { f.Annotations[contract.AnnotationGeneration] = "previous" },
			reason: connectv1.ReasonTaskConfigsOutdated,
			message: "waiting for the connector to publish task configs for its current configuration; running tasks keep " +
				"their previous task configs",
		},
		"a count that is not a number": {
			change:  func(f *observed.Secret) { f.Annotations[contract.AnnotationTaskCount] = "-2" },
			reason:  connectv1.ReasonTaskConfigsInconsistent,
			message: `Secret test-tasks: annotation weir.dev/task-count is "-2"; must be a number of tasks`,
		},
		"a key too few": {
			change:  func(f *observed.Secret) { delete(f.Keys, "task-1.json") },
			reason:  connectv1.ReasonTaskConfigsInconsistent,
			message: "Secret test-tasks: key task-1.json is missing, but 3 task configs are published",
		},
		"a config that another client has changed": {
			change: func(f *observed.Secret) { f.Keys["task-1.json"] = observed.SecretValue{Hash: "changed"} },
			reason: connectv1.ReasonTaskConfigsInconsistent,
			message: "Secret test-tasks: the task configs do not match annotation weir.dev/task-configs-hash; another " +
				"client changed the Secret",
		},
		"no JSON": {
			change: func(f *observed.Secret) {
				f.Keys["task-2.json"] = observed.SecretValue{Problem: "is not a JSON object"}
			},
			reason: connectv1.ReasonTaskConfigInvalid, message: "Secret test-tasks: key task-2.json is not a JSON object",
		},
		"more than tasks.max": {
			change:  func(f *observed.Secret) { f.Annotations[contract.AnnotationTaskCount] = "4" },
			reason:  connectv1.ReasonTooManyTasks,
			message: "task count 4 exceeds tasks.max 3; raise tasks.max or fix the connector",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := decidetest.Running(t, decidetest.Connector(), "aaaa", "bbbb", "cccc")
			test.change(s.State.TaskConfigs)
			plan := s.Step()
			require.True(t, plan.Empty(), "running pods are unchanged")
			require.EqualValues(t, 3, plan.Status.TasksReady)
			published := decidetest.Condition(t, plan.Status.Conditions, connectv1.ConditionTaskConfigsPublished)
			require.Equal(t, test.message, published.Message)
			require.Equal(t, test.reason, published.Reason)
			require.Equal(t, metav1.ConditionFalse, published.Status)
			require.Equal(
				t,
				test.reason,
				decidetest.Condition(t, plan.Status.Conditions, connectv1.ConditionReady).Reason,
			)
		})
	}
}

func TestConnectorWithoutTasksIsReady(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector())
	require.Equal(t, "0/0", s.State.Connector.Status.TaskSummary)
	require.Equal(
		t,
		metav1.ConditionTrue,
		decidetest.Condition(t, s.State.Connector.Status.Conditions, connectv1.ConditionReady).Status,
	)
}

func TestTaskConfigsThatAreTooLargeAreReportedWithTheMessageOfTheConnector(t *testing.T) {
	t.Parallel()
	s := decidetest.New(t, observed.State{Connector: decidetest.Connector(), Worker: decidetest.Worker()})
	s.Settle()
	decidetest.Fail(
		s.Pods[0],
		`{"reason":"TaskConfigsTooLarge","message":"900 task configs have 1.4 MiB, and a Secret holds 1 MiB"}`,
		1,
	)
	plan := s.Step()
	published := decidetest.Condition(t, plan.Status.Conditions, connectv1.ConditionTaskConfigsPublished)
	require.Equal(t, connectv1.ReasonTaskConfigsTooLarge, published.Reason)
	require.Equal(t, "900 task configs have 1.4 MiB, and a Secret holds 1 MiB", published.Message)
}
