package lookup

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
)

func policyFor(cluster string) *drainv1alpha1.KafkaDrainPolicy {
	policy := &drainv1alpha1.KafkaDrainPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "kafka", Name: "policy"}}
	policy.Spec.PodSelector.MatchLabels = map[string]string{"cluster": cluster}
	return policy
}

func TestSelectorOfAPolicyInTheCacheIsParsedOnce(t *testing.T) {
	t.Parallel()
	policy, parsed := policyFor("a"), 0
	l := &Lookup{policySelectors: newSelectors(func(p *drainv1alpha1.KafkaDrainPolicy) *metav1.LabelSelector {
		parsed++
		return podSelector(p)
	})}
	l.policySelectors.handler().OnAdd(policy, true)
	for range 10 {
		require.Len(t, l.selecting([]*drainv1alpha1.KafkaDrainPolicy{policy}, labels.Set{"cluster": "a"}), 1)
		require.Empty(t, l.selecting([]*drainv1alpha1.KafkaDrainPolicy{policy}, labels.Set{"cluster": "b"}))
	}
	require.Equal(t, 1, parsed)
}

func TestSelectorIsThatOfThePolicyThatWasRead(t *testing.T) {
	t.Parallel()
	invalid := policyFor("a")
	invalid.Spec.PodSelector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "x", Operator: "Unknown"}}
	for name, test := range map[string]struct {
		change  func(cache.ResourceEventHandler)
		read    *drainv1alpha1.KafkaDrainPolicy
		cluster string
		matches bool
	}{
		"a policy that is not in the cache": {func(cache.ResourceEventHandler) {}, policyFor("b"), "b", true},
		"a policy that was read from the API server with another selector": {
			func(h cache.ResourceEventHandler) { h.OnAdd(policyFor("a"), false) }, policyFor("b"), "b", true,
		},
		"a policy of the same name in another namespace": {
			func(h cache.ResourceEventHandler) {
				other := policyFor("a")
				other.Namespace = "other"
				h.OnAdd(other, false)
			}, policyFor("b"), "b", true,
		},
		"a selector that is not valid": {
			func(h cache.ResourceEventHandler) { h.OnAdd(invalid, false) }, invalid, "a", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSelectors(podSelector)
			test.change(s.handler())
			require.Equal(t, test.matches, s.of(test.read).Matches(labels.Set{"cluster": test.cluster}))
		})
	}
}

func TestSelectorsFollowTheCache(t *testing.T) {
	t.Parallel()
	s, before, after := newSelectors(podSelector), policyFor("a"), policyFor("b")
	handler := s.handler()
	handler.OnAdd(before, false)
	handler.OnUpdate(before, after)
	require.True(t, s.of(after).Matches(labels.Set{"cluster": "b"}))
	require.True(t, s.of(before).Matches(labels.Set{"cluster": "a"}), "a review that has read the policy before")
	handler.OnDelete(cache.DeletedFinalStateUnknown{Key: "kafka/policy", Obj: after})
	require.Empty(t, s.parsed, "deleted policies take no memory")
}
