package apply_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/pkg/apply"
)

func TestComparesAgainOnlyWhatHasChanged(t *testing.T) {
	t.Parallel()
	configMap := func(version string) metav1.Object {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{UID: "a", ResourceVersion: version}}
	}
	set := func(version string, generation int64, labels map[string]string) metav1.Object {
		return &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{UID: "a", ResourceVersion: version, Generation: generation, Labels: labels}}
	}
	for name, test := range map[string]struct {
		first, second metav1.Object
		wanted        string
		agreed        bool
		compared      int
	}{
		"not what is the same":                        {configMap("1"), configMap("1"), "x", true, 1},
		"an object that has changed":                  {configMap("1"), configMap("2"), "x", true, 2},
		"what something else is wanted of":            {configMap("1"), configMap("1"), "y", true, 2},
		"what did not agree":                          {configMap("1"), configMap("1"), "x", false, 2},
		"not what has changed in its status alone":    {set("1", 1, nil), set("2", 1, nil), "x", true, 1},
		"what has changed in its spec":                {set("1", 1, nil), set("2", 2, nil), "x", true, 2},
		"what has changed in its metadata":            {set("1", 1, nil), set("2", 1, map[string]string{"a": "b"}), "x", true, 2},
		"what has another manager for the same field": {set("1", 1, nil), managed(set("2", 1, nil)), "x", true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			memory, compared := apply.NewComparisonCache(10), 0
			compare := func() (bool, error) { compared++; return test.agreed, nil }
			for _, asked := range []struct {
				live   metav1.Object
				wanted string
			}{{test.first, "x"}, {test.second, test.wanted}} {
				upToDate, err := memory.UpToDate(asked.live, asked.wanted, compare)
				require.NoError(t, err)
				require.Equal(t, test.agreed, upToDate)
			}
			require.Equal(t, test.compared, compared)
		})
	}
}

func managed(object metav1.Object) metav1.Object {
	object.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "somebody"}})
	return object
}

func TestWithoutAMemoryEverythingIsCompared(t *testing.T) {
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
