package reconcile

import (
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned/fake"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

func TestStatusOfAPolicyIsReplacedUnlessItIsNewer(t *testing.T) {
	t.Parallel()
	policy := &drainv1alpha1.KafkaDrainPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "a", UID: "u", ResourceVersion: "1"},
		Status: drainv1alpha1.KafkaDrainPolicyStatus{
			Pods: 2, Drains: []drainv1alpha1.Drain{{Pod: "a-0", Phase: drainv1alpha1.DrainRolling}},
		},
	}
	weir := fake.NewClientset(policy)
	r := &Policies{Weir: weir, Manager: decide.Manager}
	read := func() drainv1alpha1.KafkaDrainPolicyStatus {
		found, err := weir.DrainV1alpha1().KafkaDrainPolicies("ns").Get(t.Context(), "a", metav1.GetOptions{})
		require.NoError(t, err)
		return found.Status
	}
	changed, err := r.act(t.Context(), policy, decide.StatusPlan{Status: policy.Status})
	require.NoError(t, err)
	require.False(t, changed)

	plan := decide.StatusPlan{Status: drainv1alpha1.KafkaDrainPolicyStatus{ObservedGeneration: 3, Pods: 1}}
	changed, err = r.act(t.Context(), policy, plan)
	require.NoError(t, err)
	require.True(t, changed)
	require.Equal(t, plan.Status, read(), "the drain is removed")

	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "kafkadrainpolicies"}, "a", nil)
	weir.PrependReactor("update", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		written := a.(clienttesting.UpdateAction).GetObject().(*drainv1alpha1.KafkaDrainPolicy)
		require.Equal(t, "1", written.ResourceVersion)
		return true, nil, conflict
	})
	_, err = r.act(t.Context(), policy, decide.StatusPlan{})
	require.NoError(t, err, "the event of the newer version reconciles again")
	require.Equal(t, plan.Status, read())
}
