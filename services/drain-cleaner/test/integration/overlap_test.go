package integration_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

func TestPolicyReportsAnOverlapAsLongAsAnotherPolicySelectsItsPods(t *testing.T) {
	t.Parallel()
	env := testenv.Install(t)
	ns := env.Namespace(t)
	env.AddTestNodes(t, 1)
	env.StatefulSet(t, ns, "kafka", 1, testenv.KafkaLabels)
	spec := drainv1alpha1.KafkaDrainPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: testenv.KafkaLabels}}
	env.CreatePolicy(t, ns, spec)
	policies := env.Weir.DrainV1alpha1().KafkaDrainPolicies(ns)
	overlaps := func() {
		t.Helper()
		env.WaitForStatus(t, ns, testenv.Condition(
			drainv1alpha1.ConditionReady, metav1.ConditionFalse, string(drainv1alpha1.ReasonPoliciesOverlap)))
	}
	active := func() {
		t.Helper()
		env.WaitForStatus(t, ns, testenv.Condition(
			drainv1alpha1.ConditionReady, metav1.ConditionTrue, string(drainv1alpha1.ReasonPolicyActive)))
	}
	patch := func(patch string) {
		t.Helper()
		_, err := policies.Patch(t.Context(), "other", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		require.NoError(t, err)
	}
	active()
	other := &drainv1alpha1.KafkaDrainPolicy{ObjectMeta: metav1.ObjectMeta{Name: "other"}, Spec: spec}
	_, err := policies.Create(t.Context(), other, metav1.CreateOptions{})
	require.NoError(t, err)
	overlaps()
	patch(`{"spec":{"podSelector":{"matchLabels":{"app":"other"}}}}`)
	active()
	patch(`{"spec":{"podSelector":{"matchLabels":{"app":"kafka"}}}}`)
	overlaps()
	patch(`{"spec":{"mode":"Observe"}}`)
	active()
	patch(`{"spec":{"mode":"Delegate"}}`)
	overlaps()
	require.NoError(t, policies.Delete(t.Context(), "other", metav1.DeleteOptions{}))
	active()
}
