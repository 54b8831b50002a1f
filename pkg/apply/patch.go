package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Patcher is the part of a generated typed client that patches an object.
type Patcher[O any] interface {
	Patch(
		ctx context.Context, name string, kind types.PatchType, data []byte, options metav1.PatchOptions,
		subresources ...string,
	) (O, error)
}

// Precondition says which object a patch may change. The API server refuses the patch with a Conflict otherwise.
type Precondition int

const (
	// SameUID accepts any version of the object, but not another object that has taken its name.
	SameUID Precondition = iota
	// SameVersion accepts only the resource version that was read.
	SameVersion
)

// MergePatch applies a JSON merge patch (RFC 7386) to object. Server-side apply is the rule; a merge patch is for
// fields that another field manager owns or that the service must not own afterwards, for example annotations that
// request an action, and for large lists that only one client writes (see [Replacement]). patch is not
// modified. Only the name, UID and resource version of object are used. The status of an object is a subresource,
// "status".
func MergePatch[O metav1.Object](
	ctx context.Context, c Patcher[O], manager string, object O, precondition Precondition, patch map[string]any,
	subresources ...string,
) (O, error) {
	metadata := map[string]any{}
	if given, ok := patch["metadata"].(map[string]any); ok {
		maps.Copy(metadata, given)
	}
	metadata["uid"] = object.GetUID()
	if precondition == SameVersion {
		metadata["resourceVersion"] = object.GetResourceVersion()
	}
	patch = maps.Clone(patch)
	if patch == nil {
		patch = map[string]any{}
	}
	patch["metadata"] = metadata
	data, err := json.Marshal(patch)
	if err != nil {
		return object, fmt.Errorf("encode the patch of %s: %w", object.GetName(), err)
	}
	patched, err := c.Patch(
		ctx,
		object.GetName(),
		types.MergePatchType,
		data,
		// As in serverSide: the API server does not parse the patch and the result a second time for warnings.
		metav1.PatchOptions{FieldManager: manager, FieldValidation: metav1.FieldValidationIgnore},
		subresources...,
	)
	err = anotherObject(err)
	if err == nil {
		observer(ctx).Wrote(patched)
	}
	return patched, err
}

// Replacement returns the part of a merge patch that replaces before by after, for example a whole spec. The API
// server parses server-side apply as YAML: for large lists that takes ten times as long as a merge patch.
func Replacement(before, after any) (map[string]any, error) {
	old, err := fields(before)
	if err != nil {
		return nil, err
	}
	values, err := fields(after)
	if err != nil {
		return nil, err
	}
	patch := make(map[string]any, len(values))
	for name := range old {
		patch[name] = nil
	}
	for name, value := range values {
		patch[name] = value
		// The API server merges objects, so those need a replacement of their own.
		if isObject(value) && isObject(old[name]) {
			if patch[name], err = Replacement(old[name], value); err != nil {
				return nil, err
			}
		}
	}
	return patch, nil
}

// StatusUpdater is the part of a generated typed client that replaces the status of an object.
type StatusUpdater[O any] interface {
	UpdateStatus(ctx context.Context, object O, options metav1.UpdateOptions) (O, error)
}

// UpdateStatus writes the status of object, which has the version that was read. If another client has written the
// object since, its status is unchanged and the error IsGone: a status that was decided on an older version must not
// replace a newer one. Unlike for a patch, the API server merges nothing.
func UpdateStatus[O metav1.Object](ctx context.Context, c StatusUpdater[O], manager string, object O) (O, error) {
	written, err := c.UpdateStatus(ctx, object, metav1.UpdateOptions{
		FieldManager: manager, FieldValidation: metav1.FieldValidationIgnore,
	})
	err = anotherObject(err)
	if err == nil {
		observer(ctx).Wrote(written)
	}
	return written, err
}

func isObject(value json.RawMessage) bool { return len(value) > 0 && value[0] == '{' }

// fields returns the fields of an object in JSON.
func fields(object any) (map[string]json.RawMessage, error) {
	data, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", object, err)
	}
	values := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &values); err != nil {
		return nil, fmt.Errorf("decode %T: %w", object, err)
	}
	return values, nil
}

// SetAnnotations sets annotations of the object and leaves all others as they are.
func SetAnnotations[O metav1.Object](
	ctx context.Context, c Patcher[O], manager string, object O, annotations map[string]string,
) (O, error) {
	return MergePatch(ctx, c, manager, object, SameUID, map[string]any{
		"metadata": map[string]any{"annotations": annotations},
	})
}

// RemoveAnnotations removes annotations that another client has set, for example to request an action. Server-side
// apply removes only fields that its own field manager owns.
func RemoveAnnotations[O metav1.Object](
	ctx context.Context, c Patcher[O], manager string, object O, keys ...string,
) (O, error) {
	annotations := map[string]any{}
	for _, key := range keys {
		annotations[key] = nil
	}
	return MergePatch(ctx, c, manager, object, SameUID, map[string]any{
		"metadata": map[string]any{"annotations": annotations},
	})
}
