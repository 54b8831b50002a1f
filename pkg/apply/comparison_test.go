package apply_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
		"an object without generation that changed twice": {configMap("1"), managed(configMap("2")), "x", true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			comparisons, compared := apply.NewComparisonCache(10), 0
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

func managed(object metav1.Object) metav1.Object {
	object.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "other"}})
	return object
}

func statusManaged(object metav1.Object) metav1.Object {
	object.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager", Subresource: "status"}})
	return object
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
