package integration

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

func offsetsTopic(pod *corev1.Pod) string {
	for _, v := range pod.Spec.Containers[0].Env {
		if v.Name == "OFFSETS_TOPIC" {
			return strings.ReplaceAll(v.Value, "$(POD_NAMESPACE)", pod.Namespace) // as the kubelet does
		}
	}
	return ""
}

const workerWithTopic = `
apiVersion: v1
kind: Secret
metadata: {name: worker-config}
stringData: {worker.properties: "bootstrap.servers=broker.kafka.svc:9092\noffset.storage.topic=shared"}
`

func TestConnectorsOfTheSameNameInTwoNamespacesHaveTheirOwnOffsets(t *testing.T) {
	t.Parallel()
	for range 2 {
		env := testenv.New(t)
		env.StartConnector("orders", 1)
		topic := "connect-" + env.Namespace + "-offsets"
		require.Equal(t, topic, env.Connector("orders").Status.DefaultOffsetsTopic)
		require.Equal(t, topic, offsetsTopic(env.Pod("orders-connector-0")))
		require.Equal(t, topic, offsetsTopic(env.Pod("orders-tasks-0")))
	}
}

func TestConnectorWithTheOffsetsOfAnotherStartsWhenTheOtherIsDeleted(t *testing.T) {
	t.Parallel()
	first, second := testenv.New(t), testenv.New(t)
	for _, env := range []*testenv.Env{first, second} {
		env.Apply(workerWithTopic)
	}
	first.Apply(testenv.Manifest("invoices", 1))
	first.WaitReady("invoices", 1)
	second.Apply(testenv.Manifest("invoices", 1))
	c := second.WaitCondition("invoices", "ConfigValid", metav1.ConditionFalse, connectv1.ReasonOffsetsConflict)
	require.Contains(t, c.Message, `another connector named "invoices" stores its offsets in a topic that this connector `+
		`would use (shared)`)
	require.NotContains(t, c.Message, first.Namespace)
	require.Empty(t, second.PodUIDs())
	first.WaitReady("invoices", 1)

	first.Kubectl("delete", "kctr", "invoices")
	second.WaitReady("invoices", 1)
}
