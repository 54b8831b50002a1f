package apply_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"

	"github.com/weir-dev/weir/pkg/apply"
)

func TestComparisonCacheComparesOnlyChangedObjects(t *testing.T) {
	t.Parallel()
	configMap := func(version string) metav1.Object {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{UID: "a", ResourceVersion: version}}
	}
	set := func(version string, generation int64, labels map[string]string) metav1.Object {
		return &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{
			UID: "a", ResourceVersion: version, Generation: generation, Labels: labels,
		}}
	}
	labels := map[string]string{"a": "b"}
	for name, test := range map[string]struct {
		first, second metav1.Object
		want          string
		equal         bool
		compared      int
	}{
		"the same object once":                            {configMap("1"), configMap("1"), "x", true, 1},
		"a changed object twice":                          {configMap("1"), configMap("2"), "x", true, 2},
		"changed desired state twice":                     {configMap("1"), configMap("1"), "y", true, 2},
		"an object that differed twice":                   {configMap("1"), configMap("1"), "x", false, 2},
		"an object whose status changed once":             {set("1", 1, nil), set("2", 1, nil), "x", true, 1},
		"an object whose status got a new manager once":   {set("1", 1, nil), statusManaged(set("2", 1, nil)), "x", true, 1},
		"an object whose spec changed twice":              {set("1", 1, nil), set("2", 2, nil), "x", true, 2},
		"an object whose labels changed twice":            {set("1", 1, nil), set("2", 1, labels), "x", true, 2},
		"an object whose managed fields changed twice":    {set("1", 1, nil), managed(set("2", 1, nil)), "x", true, 2},
		"an object that got another manager once":         {set("1", 1, nil), managed(set("2", 1, nil), "b"), "x", true, 1},
		"an object without generation that changed twice": {configMap("1"), managed(configMap("2")), "x", true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			comparisons, compared := apply.NewComparisonCache(manager, 10), 0
			compare := func() (bool, error) { compared++; return test.equal, nil }
			for _, call := range []struct {
				live metav1.Object
				want string
			}{{test.first, "x"}, {test.second, test.want}} {
				upToDate, err := comparisons.UpToDate(call.live, call.want, compare)
				require.NoError(t, err)
				require.Equal(t, test.equal, upToDate)
			}
			require.Equal(t, test.compared, compared)
		})
	}
}

// managed gives an object managed fields, by default of the manager of the tests.
func managed(object metav1.Object, managers ...string) metav1.Object {
	entries := object.GetManagedFields()
	if len(managers) == 0 {
		managers = []string{manager}
	}
	for _, name := range managers {
		entries = append(entries, metav1.ManagedFieldsEntry{Manager: name})
	}
	object.SetManagedFields(entries)
	return object
}

func statusManaged(object metav1.Object) metav1.Object {
	object.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: manager, Subresource: "status"}})
	return object
}

// answer is the answer of the API server to each patch.
type answer struct {
	set *appsv1.StatefulSet
	err error
}

func (a answer) Patch(
	context.Context, string, types.PatchType, []byte, metav1.PatchOptions, ...string,
) (*appsv1.StatefulSet, error) {
	return a.set, a.err
}

func TestResultOfAnApplyNeedsNoComparison(t *testing.T) {
	t.Parallel()
	set := func(version string, generation int64, managers ...string) *appsv1.StatefulSet {
		s := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{UID: "a", ResourceVersion: version, Generation: generation}}
		managed(s, append(managers, manager)...)
		return s
	}
	want := func(replicas int32) *appsv1ac.StatefulSetApplyConfiguration {
		return appsv1ac.StatefulSet("a", "default").WithSpec(appsv1ac.StatefulSetSpec().WithReplicas(replicas))
	}
	lost := errors.New("connection lost")
	for name, test := range map[string]struct {
		answer   answer
		live     *appsv1.StatefulSet
		want     int32
		compared int
	}{
		"the same version":                      {answer{set("1", 1), nil}, set("1", 1), 1, 0},
		"a version with another status":         {answer{set("1", 1), nil}, set("2", 1), 1, 0},
		"a version that the cache has trimmed":  {answer{set("1", 1, "other"), nil}, set("1", 1), 1, 0},
		"a version that another client wrote":   {answer{set("1", 1), nil}, set("2", 2), 1, 1},
		"another desired state":                 {answer{set("1", 1), nil}, set("1", 1), 2, 1},
		"another version without a generation":  {answer{set("1", 0), nil}, set("2", 0), 1, 1},
		"the same version without a generation": {answer{set("1", 0), nil}, set("1", 0), 1, 0},
		"the version before a failed apply":     {answer{set("1", 1), lost}, set("1", 1), 1, 1},
		"an object that was created again":      {answer{set("1", 1), nil}, recreated(set("1", 1)), 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			comparisons, compared := apply.NewComparisonCache(manager, 10), 0
			b := apply.NewBatch(t.Context(), manager).RecordIn(comparisons)
			b.Concurrently(func(b *apply.Batch) {
				apply.All(b, "StatefulSet", test.answer, []*appsv1ac.StatefulSetApplyConfiguration{want(1)})
			})
			require.ErrorIs(t, b.Err(), test.answer.err)
			compare := func() (bool, error) { compared++; return true, nil }
			upToDate, err := comparisons.UpToDate(test.live, want(test.want), compare)
			require.NoError(t, err)
			require.True(t, upToDate)
			require.Equal(t, test.compared, compared)
		})
	}
}

func recreated(set *appsv1.StatefulSet) *appsv1.StatefulSet {
	set.UID = "b"
	return set
}

func TestNilComparisonCacheAlwaysCompares(t *testing.T) {
	t.Parallel()
	var none *apply.ComparisonCache
	compared := 0
	for range 2 {
		upToDate, err := none.UpToDate(&corev1.ConfigMap{}, nil, func() (bool, error) { compared++; return true, nil })
		require.NoError(t, err)
		require.True(t, upToDate)
	}
	require.Equal(t, 2, compared)
}
