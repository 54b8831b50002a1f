package transition

import (
	"fmt"
	"maps"

	"sigs.k8s.io/yaml"
)

func merge(patch string) (map[string]any, error) {
	var m map[string]any
	if err := yaml.Unmarshal([]byte(patch), &m); err != nil {
		return nil, fmt.Errorf("read its patch: %w", err)
	}
	return m, nil
}

// merged is what a JSON merge patch (RFC 7386) makes of a value.
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

// inverse is the merge patch that undoes a patch of the value: only what it touched, for others write to the object too.
func inverse(value any, patch map[string]any) map[string]any {
	object, _ := value.(map[string]any)
	undo := make(map[string]any, len(patch))
	for key, change := range patch {
		was, ok := object[key]
		inner, nested := change.(map[string]any)
		_, both := was.(map[string]any)
		switch {
		case !ok:
			undo[key] = nil
		case nested && both:
			undo[key] = inverse(was, inner)
		default:
			undo[key] = was
		}
	}
	return undo
}
