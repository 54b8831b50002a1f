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
// request an action. patch is not modified. Only the name, UID and resource version of object are used.
func MergePatch[O metav1.Object](
	ctx context.Context, c Patcher[O], manager string, object O, precondition Precondition, patch map[string]any,
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
		metav1.PatchOptions{FieldManager: manager},
	)
	err = anotherObject(err)
	if err == nil {
		observer(ctx).Wrote(patched)
	}
	return patched, err
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
