package apply

import (
	"context"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Swapper is the part of a generated typed client that CompareAndSwap uses.
type Swapper[O any] interface {
	Create(ctx context.Context, object O, options metav1.CreateOptions) (O, error)
	Update(ctx context.Context, object O, options metav1.UpdateOptions) (O, error)
	Delete(ctx context.Context, name string, options metav1.DeleteOptions) error
}

// CompareAndSwap replaces current by next only if no other client has written the object since current was read. A nil
// current means that the object does not exist, so next is created; a nil next deletes the object. If another client
// was faster, IsSwapLost holds for the error: read the object again and decide again.
//
// Server-side apply does not fit when several replicas write one object: it creates or overwrites, and never loses. To
// apply with the same guarantee to an object that exists, set the resource version in the apply configuration.
func CompareAndSwap[O metav1.Object](
	ctx context.Context, c Swapper[O], manager string, current, next O,
) (written O, err error) {
	switch {
	case isNil(current) && isNil(next):
		return next, nil
	case isNil(current):
		written, err = c.Create(ctx, next, metav1.CreateOptions{FieldManager: manager})
	case isNil(next):
		uid, version := current.GetUID(), current.GetResourceVersion()
		err = c.Delete(ctx, current.GetName(), metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version},
		})
		if err == nil {
			observer(ctx).Deleted(current)
		}
		return next, err
	default:
		next.SetUID(current.GetUID())
		next.SetResourceVersion(current.GetResourceVersion())
		written, err = c.Update(ctx, next, metav1.UpdateOptions{FieldManager: manager})
	}
	if err == nil {
		observer(ctx).Wrote(written)
	}
	return written, err
}

// IsSwapLost reports whether CompareAndSwap failed because another client has created, changed or deleted the object.
func IsSwapLost(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)
}

// isNil also holds for a nil pointer in an interface.
func isNil(object metav1.Object) bool {
	if object == nil {
		return true
	}
	v := reflect.ValueOf(object)
	return v.Kind() == reflect.Pointer && v.IsNil()
}
