package integration

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

func taskSecret(env *testenv.Env) map[string][]byte {
	env.Helper()
	secret, err := env.Client().CoreV1().Secrets(env.Namespace).Get(env.Context(), "test-tasks", metav1.GetOptions{})
	require.NoError(env, err)
	return secret.Data
}

func TestTenOrMoreTasksMountTheirOwnConfig(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 12)
	pod := env.Pod("test-tasks-10")
	require.Equal(t, "10", pod.Labels["apps.kubernetes.io/pod-index"])
	fields := map[string]string{}
	for _, v := range pod.Spec.Containers[0].Env {
		if v.ValueFrom != nil {
			fields[v.Name] = v.ValueFrom.FieldRef.FieldPath
		}
	}
	require.Equal(t, "metadata.labels['apps.kubernetes.io/pod-index']", fields[contract.EnvTaskID])
	mounts := map[string]string{}
	for _, mount := range pod.Spec.Containers[0].VolumeMounts {
		mounts[mount.MountPath] = mount.SubPathExpr
	}
	require.Equal(t, "task-$(TASK_ID).json", mounts[contract.TaskConfigFile])
	config := taskSecret(env)["task-10.json"]
	require.Contains(t, string(config), `"task.id":"10"`)
	require.Equal(t, contract.TaskConfigHash(config), env.Connector("test").Status.Tasks[10].ConfigHash)
}

func TestChangedTaskConfigRestartsOnlyItsTask(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 12)
	before := env.PodUIDs()
	env.Patch("test", `{"spec":{"connectorConfig":{"fake.task.10.table":"orders"}}}`)
	env.WaitRestarted(before, 2)
	env.WaitReady("test", 12)
	require.Equal(t, []string{"test-connector-0", "test-tasks-10"}, env.Restarted(before))
	env.WaitEvent("Restarting", "restarting pod test-tasks-10: its task config has changed")
}

func TestConverterChangeReachesEveryTask(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 3)
	before := env.PodUIDs()
	const converter = "org.apache.kafka.connect.storage.StringConverter"
	env.Patch("test", `{"spec":{"connectorConfig":{"value.converter":"`+converter+`"}}}`)
	env.WaitRestarted(before, 4)
	env.WaitReady("test", 3)
	configs := taskSecret(env)
	for id, task := range env.Connector("test").Status.Tasks {
		config := configs[contract.TaskConfigKey(id)]
		require.Contains(t, string(config), converter)
		require.Equal(t, contract.TaskConfigHash(config), task.ConfigHash, "the pod runs the published config")
	}
}

func TestInvalidTaskConfigsDoNotRestartTasks(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 2)
	before := env.PodUIDs()
	env.Patch("test", `{"spec":{"connectorConfig":{"fake.raw":"[1, 2]"}}}`)
	c := env.WaitCondition("test", "TaskConfigsPublished", metav1.ConditionFalse, "TaskConfigInvalid")
	require.Contains(t, c.Message, "Secret test-tasks: key task-0.json")
	env.Patch("test", `{"spec":{"connectorConfig":{"fake.raw":null,"fake.tasks":"7"}}}`)
	c = env.WaitCondition("test", "TaskConfigsPublished", metav1.ConditionFalse, "TooManyTasks")
	require.Contains(t, c.Message, "raise tasks.max")
	require.NotContains(t, env.Restarted(before), "test-tasks-0")
	require.NotContains(t, env.Restarted(before), "test-tasks-1")
	env.Patch("test", `{"spec":{"connectorConfig":{"fake.tasks":null}}}`)
	env.WaitReady("test", 2)
	require.Equal(t, []string{"test-connector-0"}, env.Restarted(before), "the task configs never changed")
}

func TestTaskConfigsThatAnotherClientChangedAreNotUsed(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 1)
	before := env.PodUIDs()
	env.Kubectl("patch", "secret", "test-tasks", "--type=merge", "-p",
		`{"stringData":{"task-0.json":"{\"connector\":{\"connector.class\":\"Evil\"},\"task\":{}}"}}`)
	env.WaitCondition("test", "TaskConfigsPublished", metav1.ConditionFalse, connectv1.ReasonTaskConfigsInconsistent)
	require.Empty(t, env.Restarted(before))
}

func TestNewTaskConfigsReachAllTasksWhileOneTaskFails(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 4)
	env.FailPod("test-tasks-2", contract.ReasonTaskFailed, "table orders does not exist")
	env.WaitTasks("test", "3/4")
	before := env.PodUIDs()
	env.Patch("test", `{"spec":{"connectorConfig":{"fake.task.0.t":"x","fake.task.1.t":"x","fake.task.3.t":"x"}}}`)
	env.WaitRestarted(before, 4)
	env.WaitTasks("test", "3/4")
	require.Equal(t,
		[]string{"test-connector-0", "test-tasks-0", "test-tasks-1", "test-tasks-3"}, env.Restarted(before))
}

func TestLostTaskConfigsArePublishedAgainAndNoTaskRestarts(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 2)
	// The creation times of the Secret and the pod have a resolution of one second.
	created := env.Pod("test-connector-0").CreationTimestamp
	env.Eventually(func(context.Context) error {
		if !time.Now().After(created.Add(2 * time.Second)) {
			return errors.New("the new Secret could be as old as the pod")
		}
		return nil
	})
	before, configs := env.PodUIDs(), taskSecret(env)
	env.Kubectl("delete", "secret", "test-tasks")
	env.WaitRestarted(before, 1)
	env.WaitReady("test", 2)
	require.Equal(t, configs, taskSecret(env))
	require.Equal(t, []string{"test-connector-0"}, env.Restarted(before))
	env.WaitEvent("Restarting", "restarting pod test-connector-0: Secret test-tasks was deleted and the connector has to "+
		"publish its task configs again")
}
