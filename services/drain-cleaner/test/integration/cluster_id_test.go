package integration_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weir-dev/weir/pkg/testkit"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/kafka/kafkatest"
	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

// Brokers that report the same cluster ID count as one cluster until the user sets spec.clusterName.
func TestClustersWithTheSameIDWaitForEachOtherUntilTheyHaveDifferentNames(t *testing.T) {
	t.Parallel()
	testenv.ShowLogs(t)
	env := testenv.Install(t)
	first, second := env.Namespace(t), env.Namespace(t)
	env.AddTestNodes(t, 3)
	for _, ns := range []string{first, second} {
		env.StatefulSet(t, ns, "kafka", 1, testenv.KafkaLabels)
		// Both were formatted with the ID from one manifest.
		fake := kafkatest.Start(t, testenv.Script(first))
		env.CreatePolicy(t, ns, testenv.SelfCheck(fake.Bootstrap()))
		require.NoError(t, env.Cordon(t.Context(), env.Pod(t, ns, "kafka-0").Spec.NodeName))
		if ns == second {
			break
		}
		testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
			return env.Evict(ctx, ns, "kafka-0", "")
		})
		// The replacement does not get in sync.
		fake.Change(testenv.InSync(1, 2))
	}

	pod := env.Pod(t, second, "kafka-0")
	err := env.Evict(t.Context(), second, pod.Name, pod.UID)
	require.True(t, apierrors.IsTooManyRequests(err), "%v", err)
	assert.ErrorContains(
		t,
		err,
		"AnotherDrain: waiting until "+first+"/kafka-0 is replaced and in sync; its eviction was "+
			"allowed by policy "+first+"/kafka, whose brokers have the same cluster ID cluster-of-"+first+
			"; if they are another cluster, set spec.clusterName in one of the policies",
	)

	patch := []byte(`{"spec":{"clusterName":"second"}}`)
	_, err = env.Weir.DrainV1alpha1().KafkaDrainPolicies(second).Patch(t.Context(), "kafka", types.MergePatchType,
		patch, metav1.PatchOptions{})
	require.NoError(t, err)
	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
		return env.Evict(ctx, second, pod.Name, pod.UID)
	})
}
