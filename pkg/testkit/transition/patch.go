package transition

import (
	"fmt"
	"maps"

	"sigs.k8s.io/yaml"
)

func merge(patch string) (map[string]any, error) {
	var m map[string]any
	if err := yaml.Unmarshal([]byte(patch), &m); err != nil {
		return nil, fmt.Errorf("parse the patch: %w", err)
	}
	return m, nil
}

// merged returns value with a JSON merge patch (RFC 7386) applied.
func merged(value any, patch map[string]any) any {
	object, _ := value.(map[string]any)
	object = maps.Clone(object)
	if object == nil {
		object = map[string]any{}
	}
	for key, change := range patch {
		switch change := change.(type) {
		case nil:
			delete(object, key)
		case map[string]any:
			object[key] = merged(object[key], change)
		default:
			object[key] = change
		}
	}
	return object
}

// inverse returns the merge patch that reverts patch. It contains only the fields of patch, because other clients write
// the object too.
func inverse(value any, patch map[string]any) map[string]any {
	object, _ := value.(map[string]any)
	undo := make(map[string]any, len(patch))
	for key, change := range patch {
		old, ok := object[key]
		inner, nested := change.(map[string]any)
		_, both := old.(map[string]any)
		switch {
		case !ok:
			undo[key] = nil
		case nested && both:
			undo[key] = inverse(old, inner)
		default:
			undo[key] = old
		}
	}
	return undo
}
