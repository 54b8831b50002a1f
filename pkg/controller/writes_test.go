package controller

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

func at(version string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "a", UID: "u", ResourceVersion: version},
	}
}

func tracked(t *testing.T, version string) (*writes, cache.Store) {
	t.Helper()
	store := cache.NewStore(cache.MetaNamespaceKeyFunc)
	require.NoError(t, store.Replace([]any{at(version)}, version))
	w := newWrites()
	w.track(reflect.TypeFor[*corev1.ConfigMap](), store)
	return w, store
}

func TestReconcileIsDeferredUntilTheCacheHasObservedTheLastWrite(t *testing.T) {
	t.Parallel()
	w, store := tracked(t, "5")
	key := Key{Namespace: "n", Name: "owner"}
	require.Zero(t, w.wait(key), "no write is pending")
	w.of(key).Wrote(at("9"))
	w.of(key).Wrote(at("7"))
	require.Equal(t, minDelay, w.wait(key))
	require.Equal(t, 2*minDelay, w.wait(key), "the delay doubles")
	require.Zero(t, w.wait(Key{Namespace: "n", Name: "other"}), "another key is not deferred")
	require.NoError(t, store.Update(at("8")))
	require.NotZero(t, w.wait(key), "the newest write is pending")
	require.NoError(t, store.Update(at("10")))
	require.Zero(t, w.wait(key))
	require.Empty(t, w.pending, "the entry of a key without pending writes is removed")
}

func TestReconcileIsDeferredUntilTheCacheHasObservedADelete(t *testing.T) {
	t.Parallel()
	key := Key{Namespace: "n", Name: "owner"}
	for name, see := range map[string]func(cache.Store) error{
		"the object is gone": func(s cache.Store) error { return s.Delete(at("6")) },
		"the object is terminating": func(s cache.Store) error {
			terminating := at("6")
			terminating.DeletionTimestamp = &metav1.Time{}
			return s.Update(terminating)
		},
		"another object has the name": func(s cache.Store) error {
			other := at("6")
			other.UID = "v"
			return s.Update(other)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, store := tracked(t, "5")
			w.of(key).Deleted(at("5"))
			require.NotZero(t, w.wait(key))
			require.NoError(t, see(store))
			require.Zero(t, w.wait(key))
		})
	}
}

func TestReconcileIsNotDeferredForTypesWithoutAWatch(t *testing.T) {
	t.Parallel()
	w, _ := tracked(t, "5")
	key := Key{Namespace: "n", Name: "owner"}
	w.of(key).Wrote(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "99"}})
	require.Zero(t, w.wait(key))
}
