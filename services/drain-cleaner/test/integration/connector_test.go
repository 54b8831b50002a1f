package integration_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

// reportTasks writes the state of both tasks to the connector's status, as connect-scheduler does.
func reportTasks(t *testing.T, env *testenv.Env, namespace string, states ...string) {
	t.Helper()
	connectors := env.Weir.IoV1().KafkaConnectors(namespace)
	c, err := connectors.Get(t.Context(), "orders", metav1.GetOptions{})
	require.NoError(t, err)
	c.Status.Tasks = nil
	for id, state := range states {
		c.Status.Tasks = append(
			c.Status.Tasks,
			connectv1.TaskStatus{
				ID:    int32(id),
				State: connectv1.PodState(state),
				Pod:   []string{"orders-tasks-0", "orders-tasks-1"}[id],
			},
		)
	}
	_, err = connectors.UpdateStatus(t.Context(), c, metav1.UpdateOptions{})
	require.NoError(t, err)
}

func TestTasksOfAConnectorAreMovedOneAfterAnother(t *testing.T) {
	t.Parallel()
	testenv.ShowLogs(t)
	env := testenv.Install(t)
	_, err := env.Kubectl(t.Context(), "apply", "--server-side", "-k", testenv.DeployPath("crds", "io.confluent.csid"))
	require.NoError(t, err)
	ns := env.Namespace(t)
	env.AddTestNodes(t, 4)
	labels := map[string]string{contract.LabelConnector: "orders", contract.LabelType: contract.TypeTask}
	env.StatefulSet(t, ns, "orders-tasks", 2, labels)
	env.CreatePolicy(
		t,
		ns,
		drainv1alpha1.KafkaDrainPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: labels},
			Role:        drainv1alpha1.RoleConnect,
			Mode:        drainv1alpha1.ModeSelfCheck,
		},
	)
	first, second := env.Pod(t, ns, "orders-tasks-0"), env.Pod(t, ns, "orders-tasks-1")
	for _, pod := range []*corev1.Pod{first, second} {
		require.NoError(t, env.Cordon(t.Context(), pod.Spec.NodeName))
	}
	requireDenied := func(pod *corev1.Pod, reason string) {
		t.Helper()
		err := env.Evict(t.Context(), ns, pod.Name, pod.UID)
		require.True(t, apierrors.IsTooManyRequests(err), "%v", err)
		assert.ErrorContains(t, err, reason)
	}

	requireDenied(first, "ConnectorUnknown")
	connector := &connectv1.KafkaConnector{
		ObjectMeta: metav1.ObjectMeta{Name: "orders"},
		Spec: connectv1.KafkaConnectorSpec{
			ConnectRef:      &corev1.LocalObjectReference{Name: "shared"},
			ConnectorConfig: map[string]string{"connector.class": "X"},
		},
	}
	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
		_, err := env.Weir.IoV1().KafkaConnectors(ns).Create(ctx, connector, metav1.CreateOptions{})
		return err
	})
	reportTasks(t, env, ns, "Running", "Starting")
	requireDenied(first, "TaskUnavailable: KafkaConnector orders has pods that are starting: task 1 is Starting")

	// A failed task does not delay the drain.
	reportTasks(t, env, ns, "Running", "Failed")
	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
		return env.Evict(ctx, ns, first.Name, first.UID)
	})
	// The status does not show the eviction yet, but the claim does.
	requireDenied(second, "AnotherDrain")
	env.WaitForReady(t, ns, "orders-tasks", 2)
	reportTasks(t, env, ns, "Starting", "Running")
	requireDenied(second, "TaskUnavailable: KafkaConnector orders has pods that are starting: task 0 is Starting")
	reportTasks(t, env, ns, "Running", "Running")
	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
		return env.Evict(ctx, ns, second.Name, second.UID)
	})
}
