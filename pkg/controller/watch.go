package controller

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// Mapper returns the keys to reconcile after a change of an object.
type Mapper[T metav1.Object] func(T) []Key

// Self returns the key of the object itself.
func Self[T metav1.Object](object T) []Key {
	return []Key{{Namespace: object.GetNamespace(), Name: object.GetName()}}
}

// FromLabel returns a Mapper to the name in a label, in the namespace of the object.
func FromLabel[T metav1.Object](label string) Mapper[T] {
	return func(object T) []Key {
		if name := object.GetLabels()[label]; name != "" {
			return []Key{{Namespace: object.GetNamespace(), Name: name}}
		}
		return nil
	}
}

// IgnoreUpdate reports whether an update changes no field that the reconciler reads.
type IgnoreUpdate[T metav1.Object] func(old, updated T) bool

// StatusOnly is an IgnoreUpdate for kinds whose status the reconciler does not read, or that no other client writes. It
// compares generations, so it ignores no update of a kind without generations.
func StatusOnly[T metav1.Object](old, updated T) bool {
	return updated.GetGeneration() != 0 && old.GetGeneration() == updated.GetGeneration() &&
		old.GetUID() == updated.GetUID() &&
		maps.Equal(
			old.GetLabels(),
			updated.GetLabels(),
		) && maps.Equal(old.GetAnnotations(), updated.GetAnnotations()) &&
		old.GetDeletionTimestamp().Equal(updated.GetDeletionTimestamp()) &&
		equality.Semantic.DeepEqual(old.GetOwnerReferences(), updated.GetOwnerReferences())
}

// Watch enqueues the keys of m when an object of the informer is added, updated or deleted, except after updates that
// one of ignore ignores. An update enqueues the keys of both the old and the updated object. All watches must be added
// before Run.
func Watch[T metav1.Object](
	c *Controller, informer cache.SharedIndexInformer, m Mapper[T], ignore ...IgnoreUpdate[T],
) error {
	return watchInformer(c, informer, handler[T]{
		added: m, deleted: m,
		updated: func(old, updated T) []Key {
			if slices.ContainsFunc(ignore, func(f IgnoreUpdate[T]) bool { return f(old, updated) }) {
				return nil
			}
			return slices.Concat(m(old), m(updated))
		},
	})
}

// Changes returns the keys to reconcile after a change from old to updated. old is nil for an object that was added,
// updated for one that was deleted.
type Changes[T metav1.Object] func(old, updated T) []Key

// WatchChanges is Watch for objects that many keys depend on, each on another part: a change enqueues only the keys
// that m returns for it.
func WatchChanges[T metav1.Object](c *Controller, informer cache.SharedIndexInformer, m Changes[T]) error {
	var none T
	return watchInformer(c, informer, handler[T]{
		added:   func(object T) []Key { return m(none, object) },
		deleted: func(object T) []Key { return m(object, none) },
		updated: m,
	})
}

// handler returns the keys to reconcile after an event.
type handler[T metav1.Object] struct {
	added, deleted Mapper[T]
	updated        Changes[T]
}

func watchInformer[T metav1.Object](c *Controller, informer cache.SharedIndexInformer, h handler[T]) error {
	enqueue := func(keys []Key) {
		for _, key := range keys {
			c.queue.AddAfter(key, c.options.Debounce)
		}
	}
	one := func(m Mapper[T]) func(any) {
		return func(object any) {
			if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = tombstone.Obj
			}
			if typed, ok := object.(T); ok {
				enqueue(m(typed))
			}
		}
	}
	kind := reflect.TypeFor[T]()
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    one(h.added),
		DeleteFunc: one(h.deleted),
		UpdateFunc: func(before, after any) {
			old, ok := before.(T)
			updated, alsoOK := after.(T)
			if ok && alsoOK && old.GetResourceVersion() != updated.GetResourceVersion() {
				enqueue(h.updated(old, updated))
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watch %s for controller %s: %w", kind, c.name, err)
	}
	c.watches = append(c.watches, watch{kind.Elem().Name(), registration.HasSynced})
	c.writes.track(kind, informer.GetStore())
	return nil
}
