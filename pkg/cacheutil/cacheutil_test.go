package cacheutil_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"

	"github.com/weir-dev/weir/pkg/cacheutil"
)

func pod(namespace, name, owner string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, Labels: map[string]string{"owner": owner},
	}}
}

func podInformer() cache.SharedIndexInformer {
	return informers.NewSharedInformerFactory(fake.NewClientset(), 0).Core().V1().Pods().Informer()
}

func TestByIndexFindsObjectsOfTheNamespaceOnly(t *testing.T) {
	t.Parallel()
	informer := podInformer()
	require.NoError(t, cacheutil.AddIndexers(informer, "pods", cache.Indexers{
		"owner": cacheutil.Index(func(p *corev1.Pod) string { return p.Labels["owner"] }),
	}))
	for _, p := range []*corev1.Pod{
		pod("a", "one", "x"), pod("a", "two", "x"), pod("b", "three", "x"), pod("a", "four", ""),
	} {
		require.NoError(t, informer.GetStore().Add(p))
	}
	var names []string
	for _, p := range cacheutil.ByIndex[*corev1.Pod](informer, "owner", "a", "x") {
		names = append(names, p.Name)
	}
	require.ElementsMatch(t, []string{"one", "two"}, names)
	require.Empty(t, cacheutil.ByIndex[*corev1.Pod](informer, "owner", "a", ""), "an empty name is not in the index")
	require.Len(t, cacheutil.List[*corev1.Pod](informer), 4)
	require.Panics(t, func() { cacheutil.ByIndex[*corev1.Pod](informer, "unknown", "a", "x") })
}

func TestIndexManyDropsEmptyAndRepeatedNames(t *testing.T) {
	t.Parallel()
	index := cacheutil.IndexMany(func(*corev1.Pod) []string { return []string{"b", "", "c", "b"} })
	values, err := index(pod("a", "one", ""))
	require.NoError(t, err)
	require.Equal(t, []string{"a/b", "a/c"}, values)
	values, err = index(&corev1.Node{})
	require.NoError(t, err)
	require.Empty(t, values, "objects of another type are not in the index")
}

func TestAddIndexersNamesTheInformerInItsError(t *testing.T) {
	t.Parallel()
	informer := podInformer()
	indexers := cache.Indexers{"owner": cacheutil.Index(func(p *corev1.Pod) string { return p.Name })}
	require.NoError(t, cacheutil.AddIndexers(informer, "pods", indexers))
	require.ErrorContains(t, cacheutil.AddIndexers(informer, "pods", indexers), "add indexers to the informer of pods")
}

func TestOptionalReturnsNilForAnObjectThatDoesNotExist(t *testing.T) {
	t.Parallel()
	notFound := apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, "one")
	broken := errors.New("broken")
	one := pod("a", "one", "")
	for name, test := range map[string]struct {
		object *corev1.Pod
		err    error
		want   *corev1.Pod
		fails  error
	}{
		"an object":             {object: one, want: one},
		"no object":             {object: &corev1.Pod{}, err: notFound},
		"a failure of the read": {object: &corev1.Pod{}, err: broken, fails: broken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := cacheutil.Optional(test.object, test.err)
			require.Equal(t, test.want, got)
			require.ErrorIs(t, err, test.fails)
		})
	}
}

func TestReadsKeepsTheFirstError(t *testing.T) {
	t.Parallel()
	var r cacheutil.Reads
	fails := func(string) (*corev1.Pod, error) { return nil, errors.New("broken") }
	works := func(name string) (*corev1.Pod, error) { return pod("a", name, ""), nil }
	require.Equal(t, "one", cacheutil.Get(&r, "Pod", "one", works).Name)
	require.NoError(t, r.Err())
	require.Nil(t, cacheutil.Get(&r, "Pod", "two", fails))
	require.Nil(t, cacheutil.Get(&r, "Pod", "three", fails))
	require.EqualError(t, r.Err(), "read Pod two: broken")
}

func TestLookupReadsTheCache(t *testing.T) {
	t.Parallel()
	informer := podInformer()
	require.NoError(t, informer.GetStore().Add(pod("a", "one", "")))
	found, ok := cacheutil.Lookup[*corev1.Pod](informer, "a", "one")
	require.True(t, ok)
	require.Equal(t, "one", found.Name)
	_, ok = cacheutil.Lookup[*corev1.Pod](informer, "a", "two")
	require.False(t, ok)
	_, ok = cacheutil.Lookup[*corev1.Node](informer, "a", "one")
	require.False(t, ok, "an object of another type is not returned")
}

func TestTransforms(t *testing.T) {
	t.Parallel()
	object := func() *corev1.ConfigMap {
		return &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{
				Labels:        map[string]string{"mine": "yes"},
				Annotations:   map[string]string{"keep": "1", "drop": "2"},
				ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "weir"}, {Manager: "other"}},
			},
			Data: map[string]string{"key": "value"},
		}
	}
	mine := func(o metav1.Object) bool { return o.GetLabels()["mine"] == "yes" }
	dropData := cacheutil.ForType(func(c *corev1.ConfigMap) { c.Data = nil })
	for name, test := range map[string]struct {
		trims []cacheutil.Trim
		want  func(*corev1.ConfigMap)
	}{
		"no trim changes nothing": {nil, func(*corev1.ConfigMap) {}},
		"DropManagedFields removes all managers": {
			[]cacheutil.Trim{cacheutil.DropManagedFields},
			func(c *corev1.ConfigMap) { c.ManagedFields = nil },
		},
		"KeepManager removes the other managers": {
			[]cacheutil.Trim{cacheutil.KeepManager("weir")},
			func(c *corev1.ConfigMap) { c.ManagedFields = c.ManagedFields[:1] },
		},
		"KeepAnnotations removes the other annotations": {
			[]cacheutil.Trim{cacheutil.KeepAnnotations("keep", "missing")},
			func(c *corev1.ConfigMap) { delete(c.Annotations, "drop") },
		},
		"ForType changes objects of its type": {
			[]cacheutil.Trim{dropData}, func(c *corev1.ConfigMap) { c.Data = nil },
		},
		"ForType leaves objects of another type": {
			[]cacheutil.Trim{cacheutil.ForType(func(s *corev1.Secret) { s.Data = nil })}, func(*corev1.ConfigMap) {},
		},
		"Unless leaves objects for which the condition holds": {
			[]cacheutil.Trim{cacheutil.Unless(mine, dropData)}, func(*corev1.ConfigMap) {},
		},
		"trims run in order": {
			[]cacheutil.Trim{
				func(o metav1.Object) { o.SetLabels(nil) }, cacheutil.Unless(mine, dropData),
			},
			func(c *corev1.ConfigMap) { c.Labels, c.Data = nil, nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := object()
			test.want(want)
			transform := cacheutil.Transform(test.trims...)
			got, err := transform(object())
			require.NoError(t, err)
			require.Equal(t, want, got)
			again, err := transform(got)
			require.NoError(t, err)
			require.Equal(t, want, again, "a transform is idempotent")
		})
	}
	tombstone := cache.DeletedFinalStateUnknown{Key: "a"}
	got, err := cacheutil.Transform(cacheutil.DropManagedFields)(tombstone)
	require.NoError(t, err)
	require.Equal(t, tombstone, got, "objects without metadata pass unchanged")
}
