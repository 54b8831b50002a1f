package service_test

import (
	"context"
	"path/filepath"
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
)

// says plays connect-scheduler's part: it tells the state of both tasks.
func (h *house) says(t *testing.T, namespace string, states ...string) {
	t.Helper()
	connectors := h.weir.IoV1().KafkaConnectors(namespace)
	c, err := connectors.Get(t.Context(), "orders", metav1.GetOptions{})
	require.NoError(t, err)
	c.Status.Tasks = nil
	for id, state := range states {
		c.Status.Tasks = append(c.Status.Tasks, connectv1.TaskStatus{ID: int32(id), State: state, Pod: []string{"orders-tasks-0", "orders-tasks-1"}[id]})
	}
	_, err = connectors.UpdateStatus(t.Context(), c, metav1.UpdateOptions{})
	require.NoError(t, err)
}

func TestMovesTheTasksOfAConnectorOneAfterTheOther(t *testing.T) {
	t.Parallel()
	showLogs(t)
	h := install(t)
	_, err := h.Kubectl(t.Context(), "apply", "--server-side", "-k", filepath.Join("..", "..", "..", "..", "deploy", "crds", "io.confluent.csid"))
	require.NoError(t, err)
	ns := h.Namespace(t)
	h.nodes(t, 4)
	labels := map[string]string{contract.LabelConnector: "orders", contract.LabelType: contract.TypeTask}
	h.statefulSet(t, ns, "orders-tasks", 2, labels)
	h.policy(t, ns, drainv1alpha1.KafkaDrainPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: labels}, Role: drainv1alpha1.RoleConnect, Mode: drainv1alpha1.ModeSelfCheck})
	first, second := h.pod(t, ns, "orders-tasks-0"), h.pod(t, ns, "orders-tasks-1")
	for _, pod := range []*corev1.Pod{first, second} {
		require.NoError(t, h.cordon(t.Context(), pod.Spec.NodeName))
	}
	refused := func(pod *corev1.Pod, why string) {
		t.Helper()
		err := h.evict(t.Context(), ns, pod.Name, pod.UID)
		require.True(t, apierrors.IsTooManyRequests(err), "%v", err)
		assert.ErrorContains(t, err, why)
	}

	refused(first, "ConnectorUnknown")
	testkit.Eventually(t, patience, func(ctx context.Context) error {
		_, err := h.weir.IoV1().KafkaConnectors(ns).Create(ctx, &connectv1.KafkaConnector{ObjectMeta: metav1.ObjectMeta{Name: "orders"},
			Spec: connectv1.KafkaConnectorSpec{ConnectRef: &corev1.LocalObjectReference{Name: "shared"}, ConnectorConfig: map[string]string{"connector.class": "X"}}}, metav1.CreateOptions{})
		return err
	})
	h.says(t, ns, "Running", "Failed")
	refused(first, "TaskAway: KafkaConnector orders is not whole: task 1 is Failed")

	h.says(t, ns, "Running", "Running")
	testkit.Eventually(t, patience, func(ctx context.Context) error { return h.evict(ctx, ns, first.Name, first.UID) })
	// The status does not tell yet that the first is gone: its claim does.
	refused(second, "AnotherDrain")
	h.allReady(t, ns, "orders-tasks", 2)
	h.says(t, ns, "Starting", "Running")
	refused(second, "TaskAway: KafkaConnector orders is not whole: task 0 is Starting")
	h.says(t, ns, "Running", "Running")
	testkit.Eventually(t, patience, func(ctx context.Context) error { return h.evict(ctx, ns, second.Name, second.UID) })
}
