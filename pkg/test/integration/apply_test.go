package integration

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/pkg/testkit"
)

const manager = "pkg-test"

func TestPatchesRefuseAnotherObjectWithTheSameName(t *testing.T) {
	t.Parallel()
	cp := testkit.Shared(t)
	maps := cp.Client().CoreV1().ConfigMaps(cp.Namespace(t))
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	data := map[string]any{"data": map[string]any{"k": "v"}}
	first, err := maps.Create(t.Context(), object, metav1.CreateOptions{})
	require.NoError(t, err)
	changed, err := apply.SetAnnotations(t.Context(), maps, manager, first, map[string]string{"x": "1"})
	require.NoError(t, err)
	_, err = apply.MergePatch(t.Context(), maps, manager, first, apply.SameVersion, data)
	require.True(t, apply.IsGone(err), "the version is stale: %v", err)
	patched, err := apply.MergePatch(t.Context(), maps, manager, changed, apply.SameVersion, data)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"x": "1"}, patched.Annotations)
	require.NoError(t, apply.Delete(t.Context(), maps, first))
	_, err = maps.Create(t.Context(), object, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = apply.RemoveAnnotations(t.Context(), maps, manager, first, "x")
	require.True(t, apply.IsGone(err), "another object has the name: %v", err)
	require.ErrorContains(t, err, "another object has this name")
	_, err = apply.Object(t.Context(), maps, manager, corev1ac.ConfigMap("a", first.Namespace).WithUID(first.UID))
	require.True(t, apply.IsGone(err), "another object has the name: %v", err)
	require.True(t, apply.IsGone(apply.Delete(t.Context(), maps, first)))
	_, err = maps.Get(t.Context(), "a", metav1.GetOptions{})
	require.NoError(t, err, "the other object is unchanged")
}

func TestCompareAndSwapLosesAgainstAnotherWriter(t *testing.T) {
	t.Parallel()
	cp := testkit.Shared(t)
	maps := cp.Client().CoreV1().ConfigMaps(cp.Namespace(t))
	var none *corev1.ConfigMap
	next := func(value string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Data: map[string]string{"k": value}}
	}
	first, err := apply.CompareAndSwap(t.Context(), maps, manager, none, next("1"))
	require.NoError(t, err)
	second, err := apply.CompareAndSwap(t.Context(), maps, manager, first, next("2"))
	require.NoError(t, err)
	for name, current := range map[string]*corev1.ConfigMap{"create": none, "update": first} {
		_, err = apply.CompareAndSwap(t.Context(), maps, manager, current, next("3"))
		require.True(t, apply.IsSwapLost(err), "%s: %v", name, err)
	}
	_, err = apply.CompareAndSwap(t.Context(), maps, manager, first, none)
	require.True(t, apply.IsSwapLost(err), "delete: %v", err)
	_, err = apply.CompareAndSwap(t.Context(), maps, manager, second, none)
	require.NoError(t, err)
	_, err = apply.CompareAndSwap(t.Context(), maps, manager, second, next("4"))
	require.True(t, apply.IsSwapLost(err), "update of a deleted object: %v", err)
}

func TestWriteIntoATerminatingNamespaceIsNotARejection(t *testing.T) {
	t.Parallel()
	cp := testkit.Shared(t)
	namespace := cp.Namespace(t)
	maps := cp.Client().CoreV1().ConfigMaps(namespace)
	_, err := maps.Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "blocker", Finalizers: []string{"pkg.test/blocker"}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.NoError(t, cp.DeleteNamespace(t.Context(), namespace))
	b := apply.NewBatch(t.Context(), manager)
	apply.All(b, "ConfigMap", maps, []*corev1ac.ConfigMapApplyConfiguration{corev1ac.ConfigMap("late", namespace)})
	require.ErrorContains(t, b.Err(), "apply ConfigMap late: ")
	require.True(t, apply.IsNamespaceTerminating(b.Err()), "%v", b.Err())
	require.False(t, apply.IsRejected(b.Err()))
	blocker, err := maps.Get(t.Context(), "blocker", metav1.GetOptions{})
	require.NoError(t, err)
	_, err = apply.MergePatch(t.Context(), maps, manager, blocker, apply.SameUID, map[string]any{
		"metadata": map[string]any{"finalizers": nil},
	})
	require.NoError(t, err)
}
