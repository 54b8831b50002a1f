package cacheutil

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// Trim removes from an object fields that no reader of the cache needs. It changes the object in place.
type Trim func(metav1.Object)

// Transform returns the transform of a cache that applies trims in order. Objects without metadata pass unchanged.
func Transform(trims ...Trim) cache.TransformFunc {
	return func(object any) (any, error) {
		if o, ok := object.(metav1.Object); ok {
			for _, trim := range trims {
				trim(o)
			}
		}
		return object, nil
	}
}

// SetTransform sets the transform of an informer that has not been started. resource names the informer in the error.
func SetTransform(informer cache.SharedIndexInformer, resource string, trims ...Trim) error {
	if err := informer.SetTransform(Transform(trims...)); err != nil {
		return fmt.Errorf("set the transform of the informer of %s: %w", resource, err)
	}
	return nil
}

// ForType applies trim to objects of type T only.
func ForType[T metav1.Object](trim func(T)) Trim {
	return func(object metav1.Object) {
		if typed, ok := object.(T); ok {
			trim(typed)
		}
	}
}

// DropManagedFields removes all managed fields. It suits objects that the service only reads.
func DropManagedFields(object metav1.Object) { object.SetManagedFields(nil) }

// KeepManager keeps only the managed fields of one field manager, which apply.UpToDate needs.
func KeepManager(manager string) Trim {
	return func(object metav1.Object) {
		object.SetManagedFields(slices.DeleteFunc(object.GetManagedFields(), func(e metav1.ManagedFieldsEntry) bool {
			return e.Manager != manager
		}))
	}
}

// KeepAnnotations removes all annotations except those with the given keys.
func KeepAnnotations(keys ...string) Trim {
	return func(object metav1.Object) {
		var kept map[string]string
		for _, key := range keys {
			if value, ok := object.GetAnnotations()[key]; ok {
				if kept == nil {
					kept = map[string]string{}
				}
				kept[key] = value
			}
		}
		object.SetAnnotations(kept)
	}
}

// Unless applies trims to objects for which keep returns false, for example to objects that the service does not
// manage.
func Unless(keep func(metav1.Object) bool, trims ...Trim) Trim {
	return func(object metav1.Object) {
		if keep(object) {
			return
		}
		for _, trim := range trims {
			trim(object)
		}
	}
}
