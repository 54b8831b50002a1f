// Package apply is the only door by which Weir writes desired state to the Kubernetes API: server-side apply under the
// field manager of the service, so that each writer owns just the fields that it names.
package apply

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Client is the part of a generated typed client that applies an object.
type Client[C, O any] interface {
	Apply(ctx context.Context, want C, options metav1.ApplyOptions) (O, error)
}

// StatusClient is the part of a generated typed client that applies an object's status.
type StatusClient[C, O any] interface {
	ApplyStatus(ctx context.Context, want C, options metav1.ApplyOptions) (O, error)
}

// Deleter is the part of a generated typed client that deletes an object.
type Deleter interface {
	Delete(ctx context.Context, name string, options metav1.DeleteOptions) error
}

// Object applies want as manager, and takes over fields that another manager holds: what a service names, it owns.
func Object[C any, O metav1.Object](ctx context.Context, c Client[C, O], manager string, want C) (O, error) {
	object, err := c.Apply(ctx, want, options(manager))
	if err == nil {
		observer(ctx).Wrote(object)
	}
	return object, err
}

// Status applies the status of want as manager.
func Status[C any, O metav1.Object](ctx context.Context, c StatusClient[C, O], manager string, want C) (O, error) {
	object, err := c.ApplyStatus(ctx, want, options(manager))
	if err == nil {
		observer(ctx).Wrote(object)
	}
	return object, err
}

// Delete deletes just the object that was looked at, and none that took its name since.
// An object that is gone already is an error of the API's kind NotFound, another one of its name Conflict.
func Delete[O metav1.Object](ctx context.Context, c Deleter, object O) error {
	uid := object.GetUID()
	err := c.Delete(ctx, object.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if err == nil {
		observer(ctx).Deleted(object)
	}
	return err
}

func options(manager string) metav1.ApplyOptions {
	return metav1.ApplyOptions{FieldManager: manager, Force: true}
}

// UpToDate tells whether manager owns in live just the fields that want names, with the values of want: applying want would
// change nothing. extract is the Extract function that is generated beside want's type.
//
// Fields that are keys of a list, such as the protocol of a port, have to be named in want even where the API would default them.
func UpToDate[C, O any](live O, want C, manager string, extract func(O, string) (C, error)) (bool, error) {
	owned, err := extract(live, manager)
	if err != nil {
		return false, fmt.Errorf("extract the fields of %s: %w", manager, err)
	}
	return equality.Semantic.DeepEqual(owned, want), nil
}

// Convert turns a core type that a user wrote into its apply configuration: To has to have the JSON form of From.
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

// Observer is told of every write that succeeded, so that a controller can wait until its caches have seen it.
type Observer interface {
	Wrote(object metav1.Object)
	Deleted(object metav1.Object)
}

type observerKey struct{}

// WithObserver returns a context whose writes o is told of.
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

// Patcher is the part of a generated typed client that patches an object.
type Patcher[O any] interface {
	Patch(ctx context.Context, name string, kind types.PatchType, data []byte, options metav1.PatchOptions, subresources ...string) (O, error)
}

// RemoveAnnotations removes annotations that somebody else has put on an object to ask for something: an apply could only
// remove what its own manager owns. It changes just the object that was looked at, else the error is of the API's kind Conflict.
func RemoveAnnotations[O metav1.Object](ctx context.Context, c Patcher[O], manager string, object O, keys ...string) (O, error) {
	annotations := map[string]any{}
	for _, key := range keys {
		annotations[key] = nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": object.GetUID(), "annotations": annotations}})
	if err != nil {
		return object, fmt.Errorf("encode the patch of %s: %w", object.GetName(), err)
	}
	patched, err := c.Patch(ctx, object.GetName(), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: manager})
	if err == nil {
		observer(ctx).Wrote(patched)
	}
	return patched, err
}
