// Package snapshot compares the objects of two namespaces field by field, except fields that always differ: UIDs,
// times, addresses, generated names.
package snapshot

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// Listing is a kind of object to compare.
type Listing struct {
	Resource schema.GroupVersionResource
	// ClusterScoped objects have no namespace. Options selects those that belong to a namespace.
	ClusterScoped bool
	// Options returns the options of the list request; optional.
	Options func(namespace string) metav1.ListOptions
}

// Namespaced lists all objects of the resources in a namespace.
func Namespaced(resources ...schema.GroupVersionResource) []Listing {
	listings := make([]Listing, len(resources))
	for i, r := range resources {
		listings[i].Resource = r
	}
	return listings
}

// Normalizer removes fields that may differ from an object. It runs before the removal of fields that always differ.
type Normalizer func(*unstructured.Unstructured)

// RemoveField returns a Normalizer that removes a field: RemoveField("metadata", "annotations", "example.test/hash").
func RemoveField(path ...string) Normalizer {
	return func(o *unstructured.Unstructured) { unstructured.RemoveNestedField(o.Object, path...) }
}

// Snapshot holds normalized objects by kind and name.
type Snapshot map[string]map[string]any

// Take lists the objects of a namespace and normalizes them.
func Take(
	ctx context.Context,
	client dynamic.Interface,
	namespace string,
	listings []Listing,
	normalizers ...Normalizer,
) (Snapshot, error) {
	var objects []*unstructured.Unstructured
	for _, l := range listings {
		var options metav1.ListOptions
		if l.Options != nil {
			options = l.Options(namespace)
		}
		var resource dynamic.ResourceInterface = client.Resource(l.Resource)
		if !l.ClusterScoped {
			resource = client.Resource(l.Resource).Namespace(namespace)
		}
		list, err := resource.List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", l.Resource.Resource, err)
		}
		for i := range list.Items {
			// Kubernetes creates this ConfigMap in each namespace at any time.
			if o := &list.Items[i]; o.GetName() != "kube-root-ca.crt" {
				objects = append(objects, o)
			}
		}
	}
	return normalize(namespace, objects, normalizers), nil
}

func normalize(namespace string, objects []*unstructured.Unstructured, normalizers []Normalizer) Snapshot {
	names := newNames(namespace, objects)
	entries := make([]entry, 0, len(objects))
	for _, object := range objects {
		for _, n := range normalizers {
			n(object)
		}
		entries = append(entries, newEntry(object, names))
	}
	// Objects with the same generated name are ordered by their content.
	slices.SortFunc(entries, func(a, b entry) int {
		return strings.Compare(a.key+a.content, b.key+b.content)
	})
	snapshot, count := Snapshot{}, map[string]int{}
	for _, e := range entries {
		key := e.key
		if count[e.key]++; count[e.key] > 1 {
			key = fmt.Sprintf("%s#%d", e.key, count[e.key])
		}
		snapshot[key] = e.object
	}
	return snapshot
}

type entry struct {
	key, content string
	object       map[string]any
}

func newEntry(object *unstructured.Unstructured, names *names) entry {
	key := object.GetKind() + "/" + names.in(object.GetName())
	normal := names.object(object)
	content, err := json.Marshal(normal)
	if err != nil {
		// Unreachable: the object was decoded from JSON.
		panic(err)
	}
	return entry{key: key, content: string(content), object: normal}
}

// Diff returns the differences of other from s, one line per field, or "" if there are none.
func (s Snapshot) Diff(other Snapshot) string {
	var lines []string
	for key, want := range s {
		if got, ok := other[key]; ok {
			lines = append(lines, diff(key, want, got)...)
		} else {
			lines = append(lines, key+": missing")
		}
	}
	for key := range other {
		if _, ok := s[key]; !ok {
			lines = append(lines, key+": unexpected")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func diff(path string, want, got any) []string {
	switch want := want.(type) {
	case map[string]any:
		if got, ok := got.(map[string]any); ok {
			return diffMaps(path, want, got)
		}
	case []any:
		if got, ok := got.([]any); ok {
			return diffLists(path, want, got)
		}
	}
	if w, g := show(want), show(got); w != g {
		return []string{fmt.Sprintf("%s: got %s, want %s", path, g, w)}
	}
	return nil
}

func diffMaps(path string, want, got map[string]any) []string {
	var lines []string
	for key, w := range want {
		if g, ok := got[key]; ok {
			lines = append(lines, diff(path+"."+key, w, g)...)
		} else {
			lines = append(lines, fmt.Sprintf("%s.%s: missing, want %s", path, key, show(w)))
		}
	}
	for key, g := range got {
		if _, ok := want[key]; !ok {
			lines = append(lines, fmt.Sprintf("%s.%s: got %s, want none", path, key, show(g)))
		}
	}
	return lines
}

func diffLists(path string, want, got []any) []string {
	var lines []string
	for i := range max(len(want), len(got)) {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case i >= len(got):
			lines = append(lines, fmt.Sprintf("%s: missing, want %s", at, show(want[i])))
		case i >= len(want):
			lines = append(lines, fmt.Sprintf("%s: got %s, want none", at, show(got[i])))
		default:
			lines = append(lines, diff(at, want[i], got[i])...)
		}
	}
	return lines
}

func show(v any) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSpace(b.String())
}
