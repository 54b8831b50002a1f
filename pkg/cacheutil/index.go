package cacheutil

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// Index returns an index function that stores an object under the name that nameOf returns, in the object's namespace.
// Objects with an empty name are not stored in the index.
func Index[T metav1.Object](nameOf func(T) string) cache.IndexFunc {
	return IndexMany(func(object T) []string { return []string{nameOf(object)} })
}

// IndexMany is Index for objects that refer to several names. Empty names and repeated names are dropped.
func IndexMany[T metav1.Object](namesOf func(T) []string) cache.IndexFunc {
	return func(object any) ([]string, error) {
		typed, ok := object.(T)
		if !ok {
			return nil, nil
		}
		var values []string
		seen := map[string]bool{"": true}
		for _, name := range namesOf(typed) {
			if !seen[name] {
				seen[name] = true
				values = append(values, cache.NewObjectName(typed.GetNamespace(), name).String())
			}
		}
		return values, nil
	}
}

// AddIndexers adds indexers to an informer that has not been started. resource names the informer in the error.
func AddIndexers(informer cache.SharedIndexInformer, resource string, indexers cache.Indexers) error {
	if err := informer.AddIndexers(indexers); err != nil {
		return fmt.Errorf("add indexers to the informer of %s: %w", resource, err)
	}
	return nil
}

// ByIndex returns the objects that an index holds under namespace/name, in no particular order. The index must have
// been added with AddIndexers: an unknown index is a programming error, and ByIndex panics.
func ByIndex[T any](informer cache.SharedIndexInformer, index, namespace, name string) []T {
	objects, err := informer.GetIndexer().ByIndex(index, cache.NewObjectName(namespace, name).String())
	if err != nil {
		panic(fmt.Sprintf("cacheutil: %v", err))
	}
	return typed[T](objects)
}

// List returns all objects of an informer's cache, in no particular order.
func List[T any](informer cache.SharedIndexInformer) []T { return typed[T](informer.GetStore().List()) }

func typed[T any](objects []any) []T {
	found := make([]T, 0, len(objects))
	for _, object := range objects {
		if o, ok := object.(T); ok {
			found = append(found, o)
		}
	}
	return found
}
