package integration

import (
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/services/connect-scheduler/internal/rig"
)

// worker is the worker Secret of the examples.
func (r *place) worker() {
	r.Helper()
	r.apply(rig.Example("worker-config.yaml"))
}

func TestTheManifestOfSeed001GivesAConnectorAndThreeTasks(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	_, err := r.cp.Client().CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kafka-connect-poc"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	r.namespace = "kafka-connect-poc"
	t.Cleanup(func() { _ = r.cp.DeleteNamespace(t.Context(), "kafka-connect-poc") })
	r.worker()
	_, err = r.cp.KubectlIn(t.Context(), rig.Example("seed-001.yaml"), "apply", "-f", "-")
	require.NoError(t, err)

	c := r.waitReady("test", 3)
	require.Equal(t, "Running", c.Status.State)
	require.Equal(t, "3/3", c.Status.TaskSummary)
	for _, name := range []string{"test-connector-0", "test-tasks-0", "test-tasks-1", "test-tasks-2"} {
		pod := r.pod(name)
		require.Equal(t, "something", pod.Labels["project"], name)
		require.Equal(t, "boring", pod.Labels["cost-center"], name)
		require.Equal(t, "test", pod.Labels["io.confluent.csid.connect.connector"], name)
		require.Equal(t, corev1.PullAlways, pod.Spec.Containers[0].ImagePullPolicy, name)
	}
	memory := r.pod("test-connector-0").Spec.Containers[0].Resources.Requests[corev1.ResourceMemory]
	require.Equal(t, "512M", memory.String())
	require.Empty(t, r.pod("test-tasks-0").Spec.Containers[0].Resources.Requests)
	r.waitEvent("Published", "the connector published 3 task configs")

	set, err := r.cp.Client().AppsV1().StatefulSets(r.namespace).Get(t.Context(), "test-tasks", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, appsv1.ParallelPodManagement, set.Spec.PodManagementPolicy)
	columns, err := r.cp.Kubectl(t.Context(), "get", "kctr", "-n", r.namespace)
	require.NoError(t, err)
	require.Regexp(t, `NAME +STATE +TASKS +RESTARTS +AGE\ntest +Running +3/3 +0 +\S+\n`, columns)
}
