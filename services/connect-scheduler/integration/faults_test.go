package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/fakerunner"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/rig"
)

// The tests of this file are named for the faults of the reference implementation that the design page lists, by their number.

// manifest is a KafkaConnector with so many tasks and more lines of connectorConfig.
func manifest(name string, tasks int, config ...string) string {
	return fmt.Sprintf(`
apiVersion: io.confluent.csid/v1
kind: KafkaConnector
metadata: {name: %s}
spec:
  connector: {image: "runner:1"}
  task: {image: "runner:1"}
  workerConfigSecret: {name: worker-config}
  connectorConfig:
    connector.class: FileStreamSource
    tasks.max: "%d"
`, name, tasks) + indent(config)
}

func indent(lines []string) string {
	var all strings.Builder
	for _, line := range lines {
		all.WriteString("    " + line + "\n")
	}
	return all.String()
}

// running is a KafkaConnector that runs.
func (r *place) running(name string, tasks int32, config ...string) {
	r.Helper()
	r.worker()
	r.apply(manifest(name, int(tasks), config...))
	r.waitReady(name, tasks)
}

func TestFault1TheTenthTaskRunsTheConfigOfTheTenth(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.running("test", 12)
	pod := r.pod("test-tasks-10")
	require.Equal(t, "10", pod.Labels["apps.kubernetes.io/pod-index"])
	env := map[string]string{}
	for _, v := range pod.Spec.Containers[0].Env {
		if v.ValueFrom != nil {
			env[v.Name] = v.ValueFrom.FieldRef.FieldPath
		}
	}
	require.Equal(t, "metadata.labels['apps.kubernetes.io/pod-index']", env[contract.EnvTaskID])
	for _, mount := range pod.Spec.Containers[0].VolumeMounts {
		if mount.MountPath == contract.TaskConfigFile {
			require.Equal(t, "task-$(TASK_ID).json", mount.SubPathExpr)
		}
	}
	secret, err := r.cp.Client().CoreV1().Secrets(r.namespace).Get(t.Context(), "test-tasks", metav1.GetOptions{})
	require.NoError(t, err)
	require.Contains(t, string(secret.Data["task-10.json"]), `"task.id":"10"`)
	status := r.connector("test").Status
	require.Equal(t, contract.TaskConfigHash(secret.Data["task-10.json"]), status.Tasks[10].ConfigHash)
}

func TestFault2NewTaskConfigsRestartJustTheTasksThatTheyConcern(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.running("test", 12)
	before := r.uids()
	r.merge("test", `{"spec":{"connectorConfig":{"fake.task.10.table":"orders"}}}`)
	r.waitFor("test", func(*connectv1.KafkaConnector) error {
		if len(r.restarted(before)) < 2 {
			return errors.New("nothing has restarted yet")
		}
		return nil
	})
	r.waitReady("test", 12)
	require.ElementsMatch(t, []string{"test-connector-0", "test-tasks-10"}, r.restarted(before))
	r.waitEvent("Restarting", "restarting pod test-tasks-10: its task config has changed")
}

func TestFault3AChangeOfAConverterReachesEveryTask(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.running("test", 3)
	before := r.uids()
	r.merge("test", `{"spec":{"connectorConfig":{"value.converter":"org.apache.kafka.connect.storage.StringConverter"}}}`)
	testkit.Eventually(t, patience, func(context.Context) error {
		if restarted := r.restarted(before); len(restarted) < 4 {
			return fmt.Errorf("only %v have restarted", restarted)
		}
		return nil
	})
	r.waitReady("test", 3)
	secret, err := r.cp.Client().CoreV1().Secrets(r.namespace).Get(t.Context(), "test-tasks", metav1.GetOptions{})
	require.NoError(t, err)
	for id, task := range r.connector("test").Status.Tasks {
		file := secret.Data[contract.TaskConfigKey(id)]
		require.Contains(t, string(file), "StringConverter")
		require.Equal(t, contract.TaskConfigHash(file), task.ConfigHash, "the pod runs with what is published")
	}
}

func TestFault4ATaskInACrashLoopKeepsNoOtherFromStarting(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.running("test", 1)
	require.NoError(t, fakerunner.Fail(t.Context(), r.cp.Client(), r.namespace, "test-tasks-0", contract.Termination{Reason: contract.ReasonTaskFailed, Message: "boom"}))
	r.waitCondition("test", "Degraded", metav1.ConditionTrue, "TasksFailed")
	r.merge("test", `{"spec":{"tasksMax":4}}`)
	r.waitFor("test", func(c *connectv1.KafkaConnector) error {
		if c.Status.TaskSummary != "3/4" {
			return fmt.Errorf("tasks are %s", c.Status.TaskSummary)
		}
		return nil
	})
}

func TestFault5NoConfigIsInAConfigMapOrALogOrAnEventOrTheStatus(t *testing.T) {
	t.Parallel()
	const secret = "hunter2-do-not-tell"
	r := setUp(t)
	account, err := rig.Install(t.Context(), r.cp)
	require.NoError(t, err)
	logs := &safeBuffer{}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- rig.Service(ctx, account, rig.Options{Namespace: r.namespace, Logs: logs}) }()
	r.running("test", 2, "connection.password: "+secret)
	r.merge("test", `{"spec":{"connectorConfig":{"fake.raw":"no JSON, but `+secret+`"}}}`)
	r.waitCondition("test", "TaskConfigsPublished", metav1.ConditionFalse, "TaskConfigInvalid")
	stop()
	require.NoError(t, <-ended)
	require.NotContains(t, logs.String(), secret)

	for _, kind := range []string{"configmaps", "events", "statefulsets", "pods", "services", "roles"} {
		all, err := r.cp.Kubectl(t.Context(), "get", kind, "-n", r.namespace, "-o", "yaml")
		require.NoError(t, err)
		require.NotContains(t, all, secret, kind)
	}
	status, err := r.cp.Kubectl(t.Context(), "get", "kctr", "test", "-n", r.namespace, "-o", "jsonpath={.status}")
	require.NoError(t, err)
	require.NotContains(t, status, secret)
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestFault9APluginHasNoMoreRightsThanItsOwnPodNeeds(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.running("test", 1)
	require.Equal(t, "test-connector", r.pod("test-connector-0").Spec.ServiceAccountName)
	require.False(t, *r.pod("test-tasks-0").Spec.AutomountServiceAccountToken, "a task has no token")

	account, err := r.cp.ServiceAccount(t.Context(), r.namespace, "test-connector")
	require.NoError(t, err)
	plugin, err := kubernetes.NewForConfig(account)
	require.NoError(t, err)
	secrets := plugin.CoreV1().Secrets(r.namespace)
	_, err = secrets.Get(t.Context(), "test-tasks", metav1.GetOptions{})
	require.NoError(t, err)
	_, err = secrets.Get(t.Context(), "worker-config", metav1.GetOptions{})
	require.True(t, apierrors.IsForbidden(err))
	_, err = secrets.List(t.Context(), metav1.ListOptions{})
	require.True(t, apierrors.IsForbidden(err))
	_, err = plugin.CoreV1().Pods(r.namespace).List(t.Context(), metav1.ListOptions{})
	require.True(t, apierrors.IsForbidden(err))
}

func TestFault10AllThatWasMadeGoesWithTheConnector(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.running("test", 2)
	require.NoError(t, r.weir.IoV1().KafkaConnectors(r.namespace).Delete(t.Context(), "test", metav1.DeleteOptions{}))
	testkit.Eventually(t, patience, func(ctx context.Context) error {
		left, err := r.cp.Kubectl(ctx, "get", "statefulsets,pods,secrets,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets,services", "-n", r.namespace,
			"-l", "app.kubernetes.io/managed-by=connect-scheduler", "-o", "name")
		if err == nil && left != "" {
			return fmt.Errorf("still there: %s", left)
		}
		return err
	})
}

func TestFault11ATaskHasTimeForItsFinalCommit(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.running("test", 1)
	require.EqualValues(t, 60, *r.pod("test-tasks-0").Spec.TerminationGracePeriodSeconds)
}

func TestFault12AFailedTaskIsSeenAtOnceAndItsRecoveryToo(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.running("test", 3)
	began := time.Now()
	require.NoError(t, fakerunner.Fail(t.Context(), r.cp.Client(), r.namespace, "test-tasks-1",
		contract.Termination{Reason: contract.ReasonTaskFailed, Message: "table orders does not exist"}))
	c := r.waitFor("test", func(c *connectv1.KafkaConnector) error {
		if c.Status.Tasks[1].State != "Failed" {
			return fmt.Errorf("task 1 is %s", c.Status.Tasks[1].State)
		}
		return nil
	})
	t.Logf("from failure to status: %s", time.Since(began).Round(time.Millisecond))
	require.Equal(t, "TaskFailed: table orders does not exist", c.Status.Tasks[1].LastError)
	require.EqualValues(t, 1, c.Status.Restarts)
	require.Equal(t, "Degraded", c.Status.State)
	require.Equal(t, "2/3", c.Status.TaskSummary)
	r.waitEvent("TaskFailed", "task 1 failed: TaskFailed: table orders does not exist")

	require.NoError(t, fakerunner.Recover(t.Context(), r.cp.Client(), r.namespace, "test-tasks-1"))
	r.waitReady("test", 3)
	r.waitEvent("TaskRecovered", "task 1 runs again")
}

func TestFault13PauseStopScaleAndRestart(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.running("test", 2)
	pods := func(want ...string) {
		t.Helper()
		testkit.Eventually(t, patience, func(context.Context) error {
			uids := r.uids()
			for _, name := range want {
				if uids[name] == "" {
					return fmt.Errorf("%s is missing", name)
				}
			}
			if len(uids) != len(want) {
				return fmt.Errorf("there are %v", uids)
			}
			return nil
		})
	}
	r.merge("test", `{"spec":{"state":"paused"}}`)
	r.waitCondition("test", "Ready", metav1.ConditionTrue, "Paused")
	pods("test-connector-0")
	r.merge("test", `{"spec":{"state":"stopped"}}`)
	r.waitCondition("test", "Ready", metav1.ConditionTrue, "Stopped")
	pods()
	r.merge("test", `{"spec":{"state":"running"}}`)
	r.waitReady("test", 2)

	_, err := r.cp.Kubectl(t.Context(), "scale", "kafkaconnector/test", "-n", r.namespace, "--replicas=4")
	require.NoError(t, err)
	c := r.waitReady("test", 4)
	require.Equal(t, "io.confluent.csid.connect.connector=test,io.confluent.csid.connect.type=task", c.Status.Selector, "for autoscalers")

	before := r.uids()
	_, err = r.cp.Kubectl(t.Context(), "annotate", "kafkaconnector/test", "-n", r.namespace, "strimzi.io/restart-task=3")
	require.NoError(t, err)
	testkit.Eventually(t, patience, func(context.Context) error {
		if len(r.restarted(before)) == 0 {
			return errors.New("nothing has restarted")
		}
		return nil
	})
	c = r.waitReady("test", 4)
	require.Empty(t, c.Annotations[contract.RestartTask])
	require.Equal(t, []string{"test-tasks-3"}, r.restarted(before))

	_, err = r.cp.Kubectl(t.Context(), "annotate", "pod/test-tasks-0", "-n", r.namespace, contract.ManualRollingUpdate+"=true")
	require.NoError(t, err)
	testkit.Eventually(t, patience, func(context.Context) error {
		if len(r.restarted(before)) < 2 {
			return errors.New("the marked pod has not been moved")
		}
		return nil
	})
}

func TestAChangeOfTheImageRollsAllTasksWithinTheirBudget(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.running("test", 4)
	before := r.uids()
	r.merge("test", `{"spec":{"task":{"image":"runner:2"}}}`)
	testkit.Eventually(t, patience, func(context.Context) error {
		if restarted := r.restarted(before); len(restarted) < 4 {
			return fmt.Errorf("only %v have restarted", restarted)
		}
		return nil
	})
	r.waitReady("test", 4)
	require.Equal(t, "runner:2", r.pod("test-tasks-3").Spec.Containers[0].Image)
	require.NotContains(t, r.restarted(before), "test-connector-0")
}

func TestServicesComeAndGoWithServiceSpec(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.running("test", 1)
	r.merge("test", `{"spec":{"task":{"serviceSpec":{"ports":[{"name":"syslog","port":5454}]}}}}`)
	services := func(want int) {
		t.Helper()
		testkit.Eventually(t, patience, func(ctx context.Context) error {
			list, err := r.cp.Client().CoreV1().Services(r.namespace).List(ctx, metav1.ListOptions{})
			if err == nil && len(list.Items) != want {
				return fmt.Errorf("there are %d Services", len(list.Items))
			}
			return err
		})
	}
	services(2)
	headless, err := r.cp.Client().CoreV1().Services(r.namespace).Get(t.Context(), "test-tasks-headless", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, corev1.ClusterIPNone, headless.Spec.ClusterIP)
	r.merge("test", `{"spec":{"task":{"serviceSpec":null}}}`)
	services(0)
	r.waitReady("test", 1)
}

func TestStatefulSetsKeepOnePodATaskAndRestartOnlyWhenTold(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.running("test", 1)
	set, err := r.cp.Client().AppsV1().StatefulSets(r.namespace).Get(t.Context(), "test-tasks", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, appsv1.OnDeleteStatefulSetStrategyType, set.Spec.UpdateStrategy.Type)
	require.Equal(t, appsv1.ParallelPodManagement, set.Spec.PodManagementPolicy)
}
