package cacheutil

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/cache"
)

// Optional returns nil, and no error, for an object that does not exist. Other errors are returned as they are.
func Optional[T any](object *T, err error) (*T, error) {
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return object, nil
}

// Lookup returns the object namespace/name of an informer's cache. It returns the zero value and false if the cache has
// no such object.
func Lookup[T any](informer cache.SharedIndexInformer, namespace, name string) (T, bool) {
	object, exists, err := informer.GetStore().GetByKey(cache.NewObjectName(namespace, name).String())
	typed, ok := object.(T)
	return typed, err == nil && exists && ok
}

// Reads collects the error of several lookups. The zero value is ready to use.
type Reads struct{ err error }

// Err returns the first error.
func (r *Reads) Err() error { return r.err }

// Get looks up one object with get, usually the Get method of a namespaced lister. It returns nil if the object does
// not exist, or if the lookup failed; r keeps the first error. kind names the object in the error.
func Get[T any](r *Reads, kind, name string, get func(string) (*T, error)) *T {
	object, err := Optional(get(name))
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("read %s %s: %w", kind, name, err)
	}
	return object
}
