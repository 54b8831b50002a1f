// Package apply is the only write path of Weir to the Kubernetes API.
//
//   - [Object] and [Status] write desired state with server-side apply under the field manager of the service, so each
//     writer owns exactly the fields that it sets. [All] and [DeleteAll] write a plan and stop at the first error.
//   - [CompareAndSwap] is for objects that several replicas write.
//   - [MergePatch], [SetAnnotations] and [RemoveAnnotations] are for fields that another field manager owns.
//   - [UpdateStatus] is for a status that must not be written over a newer one.
//   - [Delete] deletes the object that was read, and no other object with the same name.
//
// Each write notifies the [Observer] of its context, so that a controller can wait until its caches have observed it.
//
// [IsRejected], [IsPermanent], [IsGone] and [IsNamespaceTerminating] classify errors. [CheckManaged] reports objects
// that another client manages. [UpToDate] and [ComparisonCache] avoid writes that change nothing.
package apply

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Deleter is the part of a generated typed client that deletes an object.
type Deleter interface {
	Delete(ctx context.Context, name string, options metav1.DeleteOptions) error
}

// Object applies want as manager. It forces conflicts: fields in want that another manager owns become the manager's.
// If want has a UID and another object has its name, the error is a Conflict.
func Object[C Named, O metav1.Object](ctx context.Context, c Patcher[O], manager string, want C) (O, error) {
	return serverSide(ctx, c, manager, want)
}

// Status applies the status of want as manager.
func Status[C Named, O metav1.Object](ctx context.Context, c Patcher[O], manager string, want C) (O, error) {
	return serverSide(ctx, c, manager, want, "status")
}

// serverSide applies want. The API server does not look for duplicate fields, which an encoder never writes: it would
// parse the patch as YAML a second time for that, which takes longer than anything else that it does for the request.
// Fields that do not exist are errors in any case.
func serverSide[C Named, O metav1.Object](
	ctx context.Context, c Patcher[O], manager string, want C, subresources ...string,
) (object O, err error) {
	name := want.GetName()
	if name == nil {
		return object, fmt.Errorf("apply %T: it has no name", want)
	}
	data, err := json.Marshal(want)
	if err != nil {
		return object, fmt.Errorf("encode %T %s: %w", want, *name, err)
	}
	force := true
	object, err = c.Patch(ctx, *name, types.ApplyYAMLPatchType, data, metav1.PatchOptions{
		FieldManager: manager, Force: &force, FieldValidation: metav1.FieldValidationIgnore,
	}, subresources...)
	err = anotherObject(err)
	if err == nil {
		observer(ctx).Wrote(object)
	}
	return object, err
}

// Delete deletes the object with the given UID. The error is NotFound if the object is already gone, and Conflict if
// another object has its name; IgnoreGone drops both.
func Delete[O metav1.Object](ctx context.Context, c Deleter, object O) error {
	uid := object.GetUID()
	err := c.Delete(ctx, object.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if err == nil {
		observer(ctx).Deleted(object)
	}
	return err
}

// UpToDate reports whether applying want as manager would change nothing: in live the manager owns exactly the fields
// of want, with the same values. extract is the generated Extract function of want's type.
//
// want must set all keys of list elements, such as the protocol of a port, even if the API has a default for them.
func UpToDate[C, O any](live O, want C, manager string, extract func(O, string) (C, error)) (bool, error) {
	owned, err := extract(live, manager)
	if err != nil {
		return false, fmt.Errorf("extract the fields of %s: %w", manager, err)
	}
	return equality.Semantic.DeepEqual(owned, want), nil
}

// Convert converts an API type to its apply configuration. To must have the same JSON form as From.
func Convert[To, From any](from From) (*To, error) {
	data, err := json.Marshal(from)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", from, err)
	}
	to := new(To)
	if err := json.Unmarshal(data, to); err != nil {
		return nil, fmt.Errorf("decode %T: %w", to, err)
	}
	return to, nil
}

// Observer is notified of every successful write, so that a controller can wait until its caches have observed it. Its
// methods can be called from several goroutines at the same time.
type Observer interface {
	// Wrote receives an object as the API server returned it.
	Wrote(object metav1.Object)
	// Deleted receives an object whose deletion the API server has accepted.
	Deleted(object metav1.Object)
}

type observerKey struct{}

// WithObserver returns a context that makes the functions of this package notify o of their writes.
func WithObserver(ctx context.Context, o Observer) context.Context {
	return context.WithValue(ctx, observerKey{}, o)
}

func observer(ctx context.Context) Observer {
	if o, ok := ctx.Value(observerKey{}).(Observer); ok {
		return o
	}
	return ignore{}
}

type ignore struct{}

func (ignore) Wrote(metav1.Object)   {}
func (ignore) Deleted(metav1.Object) {}
