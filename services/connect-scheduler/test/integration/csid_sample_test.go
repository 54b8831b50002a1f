package integration

import (
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

func TestCsidSampleRunsAConnectorAndThreeTasks(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.ApplyWorkerConfig()
	env.Apply(testenv.Example("csid-sample.yaml"))

	c := env.WaitReady("test", 3)
	require.Equal(t, connectv1.PhaseRunning, c.Status.State)
	require.Equal(t, "3/3", c.Status.TaskSummary)
	for _, name := range []string{"test-connector-0", "test-tasks-0", "test-tasks-1", "test-tasks-2"} {
		pod := env.Pod(name)
		require.Equal(t, "something", pod.Labels["project"], name)
		require.Equal(t, "boring", pod.Labels["cost-center"], name)
		require.Equal(t, "test", pod.Labels["io.confluent.csid.connect.connector"], name)
		require.Equal(t, corev1.PullAlways, pod.Spec.Containers[0].ImagePullPolicy, name)
	}
	memory := env.Pod("test-connector-0").Spec.Containers[0].Resources.Requests[corev1.ResourceMemory]
	require.Equal(t, "512M", memory.String())
	require.Empty(t, env.Pod("test-tasks-0").Spec.Containers[0].Resources.Requests)
	env.WaitEvent("Published", "the connector published 3 task configs")

	set, err := env.Client().AppsV1().StatefulSets(env.Namespace).Get(t.Context(), "test-tasks", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, appsv1.ParallelPodManagement, set.Spec.PodManagementPolicy)
	columns := env.Kubectl("get", "kctr")
	require.Regexp(t, `NAME +STATE +TASKS +RESTARTS +AGE\ntest +Running +3/3 +0 +\S+\n`, columns)
}
