package integration

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

func TestPausedKeepsTheConnectorPodAndStoppedKeepsNone(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 2)
	env.Patch("test", `{"spec":{"state":"paused"}}`)
	env.WaitCondition("test", "Ready", metav1.ConditionTrue, "Paused")
	env.WaitPods("test-connector-0")
	env.Patch("test", `{"spec":{"state":"stopped"}}`)
	env.WaitCondition("test", "Ready", metav1.ConditionTrue, "Stopped")
	env.WaitPods()
	env.Patch("test", `{"spec":{"state":"running"}}`)
	env.WaitReady("test", 2)
}

func TestScaleSubresourceSetsTheNumberOfTasks(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 2)
	env.Kubectl("scale", "kafkaconnector/test", "--replicas=4")
	c := env.WaitReady("test", 4)
	const selector = "io.confluent.csid.connect.connector=test,io.confluent.csid.connect.type=task"
	require.Equal(t, selector, c.Status.Selector, "autoscalers read the selector")
}

func TestRestartTaskAnnotationRestartsOneTaskAndIsRemoved(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 4)
	before := env.PodUIDs()
	env.Annotate("kctr/test", contract.RestartTask+"=3")
	env.WaitRestarted(before, 1)
	c := env.WaitReady("test", 4)
	require.Empty(t, c.Annotations[contract.RestartTask])
	require.Equal(t, []string{"test-tasks-3"}, env.Restarted(before))
}

func TestManualRollingUpdateAnnotationRestartsThePod(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 2)
	before := env.PodUIDs()
	env.Annotate("pod/test-tasks-0", contract.ManualRollingUpdate+"=true")
	env.WaitRestarted(before, 1)
	env.WaitReady("test", 2)
	require.Equal(t, []string{"test-tasks-0"}, env.Restarted(before))
}

func TestImageChangeRollsOutToAllTasksAndNotToTheConnector(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 4)
	before := env.PodUIDs()
	env.Patch("test", `{"spec":{"task":{"image":"runner:2"}}}`)
	env.WaitRestarted(before, 4)
	env.WaitReady("test", 4)
	require.Equal(t, "runner:2", env.Pod("test-tasks-3").Spec.Containers[0].Image)
	require.NotContains(t, env.Restarted(before), "test-connector-0")
}

func TestWorkerConfigChangeRestartsAllPods(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 1)
	before := env.PodUIDs()
	env.Apply(`
apiVersion: v1
kind: Secret
metadata: {name: worker-config}
stringData: {worker.properties: bootstrap.servers=other:9092}
`)
	env.WaitRestarted(before, 2)
	env.WaitReady("test", 1)
}

func TestFailedTaskAndItsRecoveryAreReported(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 3)
	env.FailPod("test-tasks-1", contract.ReasonTaskFailed, "table orders does not exist")
	c := env.WaitTasks("test", "2/3")
	require.Equal(t, connectv1.PodFailed, c.Status.Tasks[1].State)
	require.Equal(t, "TaskFailed: table orders does not exist", c.Status.Tasks[1].LastError)
	require.EqualValues(t, 1, c.Status.Restarts)
	require.Equal(t, connectv1.PhaseDegraded, c.Status.State)
	env.WaitEvent("TaskFailed", "task 1 failed: TaskFailed: table orders does not exist")

	env.RecoverPod("test-tasks-1")
	env.WaitReady("test", 3)
	env.WaitEvent("TaskRecovered", "task 1 is running again")
}

func TestTaskInACrashLoopDoesNotBlockOtherTasks(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 1)
	env.FailPod("test-tasks-0", contract.ReasonTaskFailed, "boom")
	env.WaitCondition("test", "Degraded", metav1.ConditionTrue, "TasksFailed")
	env.Patch("test", `{"spec":{"tasksMax":4}}`)
	env.WaitTasks("test", "3/4")
}

func TestConnectRunnerKnowsTheGracePeriodOfItsPod(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 1)
	gracePeriods := func() map[string]string {
		found := map[string]string{}
		for _, name := range []string{"test-connector-0", "test-tasks-0"} {
			pod := env.Pod(name)
			for _, v := range pod.Spec.Containers[0].Env {
				if v.Name == contract.EnvGracePeriod {
					found[name] = v.Value
				}
			}
			require.Equal(t, found[name], strconv.FormatInt(*pod.Spec.TerminationGracePeriodSeconds, 10))
		}
		return found
	}
	require.Equal(t, map[string]string{"test-connector-0": "60", "test-tasks-0": "60"}, gracePeriods())

	before := env.PodUIDs()
	env.Patch("test", `{"spec":{"template":{"task":{"pod":{"terminationGracePeriodSeconds":300}}}}}`)
	env.WaitRestarted(before, 1)
	env.WaitReady("test", 1)
	require.Equal(t, map[string]string{"test-connector-0": "60", "test-tasks-0": "300"}, gracePeriods())
}

func TestFailedTasksDoNotBlockNodeDrains(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 4)
	for _, pod := range []string{"test-tasks-0", "test-tasks-1"} {
		env.FailPod(pod, contract.ReasonTaskFailed, "boom")
	}
	budgets := env.Client().PolicyV1().PodDisruptionBudgets(env.Namespace)
	env.Eventually(func(ctx context.Context) error {
		budget, err := budgets.Get(ctx, "test-tasks", metav1.GetOptions{})
		if err == nil && (budget.Status.ExpectedPods != 4 || budget.Status.CurrentHealthy != 2) {
			return fmt.Errorf("the status of the PodDisruptionBudget is %+v", budget.Status)
		}
		return err
	})
	evict := func(pod string) error {
		return env.Client().PolicyV1().Evictions(env.Namespace).Evict(t.Context(), &policyv1.Eviction{
			ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: env.Namespace},
		})
	}
	require.ErrorContains(t, evict("test-tasks-2"), "disruption budget", "a running task")
	require.NoError(t, evict("test-tasks-0"), "a failed task")
}

func TestTaskStatefulSetIsParallelAndOnDelete(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 1)
	set, err := env.Client().AppsV1().StatefulSets(env.Namespace).Get(t.Context(), "test-tasks", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, appsv1.OnDeleteStatefulSetStrategyType, set.Spec.UpdateStrategy.Type)
	require.Equal(t, appsv1.ParallelPodManagement, set.Spec.PodManagementPolicy)
}

func TestDeletedConnectorLeavesNoObjects(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 2)
	env.Kubectl("delete", "kctr", "test")
	env.WaitGone(
		"statefulsets,pods,secrets,serviceaccounts,roles,rolebindings,poddisruptionbudgets,services",
		"-l",
		"app.kubernetes.io/managed-by=connect-scheduler",
	)
}

func TestRecreatedConnectorOwnsNewObjects(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 2)
	before := env.Connector("test").UID
	env.Kubectl("delete", "kctr", "test", "--wait=true")
	env.Apply(testenv.Manifest("test", 3))
	env.WaitReady("test", 3)
	env.Eventually(func(ctx context.Context) error {
		set, err := env.Client().AppsV1().StatefulSets(env.Namespace).Get(ctx, "test-tasks", metav1.GetOptions{})
		if err == nil && set.OwnerReferences[0].UID == before {
			return errors.New("StatefulSet test-tasks has the deleted owner")
		}
		return err
	})
}

func TestLabelsReachObjectsAndPodsWithoutARestart(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 2)
	before := env.PodUIDs()
	env.Kubectl("label", "kctr/test", "helm.sh/chart=connect-1.2.3", "team=a")
	env.Kubectl("label", "kctr/test", "team-")
	env.Eventually(func(context.Context) error {
		for _, kind := range []string{"pods", "statefulsets", "secrets", "poddisruptionbudgets"} {
			const all = "io.confluent.csid.connect.connector=test"
			every := env.Kubectl("get", kind, "-l", all, "-o", "name")
			labeled := env.Kubectl("get", kind, "-l", all+",helm.sh/chart=connect-1.2.3,!team", "-o", "name")
			if labeled != every {
				return fmt.Errorf("labeled: %s; all: %s", labeled, every)
			}
		}
		return nil
	})
	env.WaitReady("test", 2)
	require.Empty(t, env.Restarted(before))
}

func TestRestartAnnotationKeptInGitRestartsTheConnectorOnce(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 1)
	before := env.PodUIDs()
	const at = "2026-05-04T12:00:00Z"
	env.Annotate("kctr/test", contract.Restart+"="+at)
	env.WaitRestarted(before, 1)
	c := env.WaitReady("test", 1)
	require.Equal(t, at, c.Status.LastRestart)
	require.Equal(t, at, c.Annotations[contract.Restart])
	before = env.PodUIDs()
	env.Kubectl("label", "kctr/test", "synced=again")
	env.WaitReady("test", 1)
	require.Empty(t, env.Restarted(before))
}

func TestConnectorThatRequestsNoTasksSaysSo(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.ApplyWorkerConfig()
	env.Apply(testenv.Manifest("test", 1, `fake.tasks: "0"`))
	env.WaitCondition("test", "Ready", metav1.ConditionTrue, connectv1.ReasonNoTasks)
	env.Kubectl("scale", "kctr/test", "--replicas=4")
	c := env.WaitCondition("test", "ConfigValid", metav1.ConditionTrue, "Accepted")
	require.Contains(t, c.Message, "spec.tasksMax 4, which kubectl scale sets, overrides tasks.max 1 of connectorConfig")
}
