package integration_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/weir-dev/weir/pkg/testkit"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/claims"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/kafka/kafkatest"
	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

func TestPodThatItsBudgetKeepsDelaysNoOtherDrain(t *testing.T) {
	t.Parallel()
	testenv.ShowLogs(t)
	env := testenv.Install(t)
	ns := env.Namespace(t)
	env.AddTestNodes(t, 2)
	none, one := intstr.FromInt32(0), []byte(`{"spec":{"maxUnavailable":1}}`)
	budgets := env.Client().PolicyV1().PodDisruptionBudgets(ns)
	_, err := budgets.Create(t.Context(), &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "kafka"},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: &none, Selector: &metav1.LabelSelector{MatchLabels: testenv.KafkaLabels},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	env.StatefulSet(t, ns, "kafka", 1, testenv.KafkaLabels)
	fake := kafkatest.Start(t, testenv.Script(ns))
	env.CreatePolicy(t, ns, testenv.SelfCheck(fake.Bootstrap()))
	require.NoError(t, env.Cordon(t.Context(), env.Pod(t, ns, "kafka-0").Spec.NodeName))
	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
		b, err := budgets.Get(ctx, "kafka", metav1.GetOptions{})
		if err == nil && b.Status.CurrentHealthy != 1 {
			err = errors.New("the status of the budget is not up to date")
		}
		return err
	})

	err = env.Evict(t.Context(), ns, "kafka-0", "")
	require.True(t, apierrors.IsTooManyRequests(err), "%v", err)
	assert.ErrorContains(t, err, "BlockedByBudget: PodDisruptionBudget kafka allows no disruption")
	assert.ErrorContains(t, err, "raise its maxUnavailable")
	key := claims.OfKafka("cluster-of-"+ns, "")
	_, err = env.Client().CoordinationV1().Leases(testenv.Namespace).Get(t.Context(), key, metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err), "there is a claim: %v", err)

	_, err = budgets.Patch(t.Context(), "kafka", types.MergePatchType, one, metav1.PatchOptions{})
	require.NoError(t, err)
	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error { return env.Evict(ctx, ns, "kafka-0", "") })
}
