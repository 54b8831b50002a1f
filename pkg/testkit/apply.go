package testkit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
)

// FieldManager is the field manager of ApplyYAML.
const FieldManager = "testkit"

// DecodeYAML parses the objects of a YAML stream. It expands lists.
func DecodeYAML(stream string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewBufferString(stream), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("decode YAML: %w", err)
		}
		switch {
		case len(object.Object) == 0:
		case object.IsList():
			err = object.EachListItem(func(item runtime.Object) error {
				objects = append(objects, item.(*unstructured.Unstructured))
				return nil
			})
			if err != nil {
				return nil, err
			}
		default:
			objects = append(objects, object)
		}
	}
}

// ApplyYAML applies the objects of a YAML stream with server-side apply: CustomResourceDefinitions and namespaces
// first. It waits until the definitions are established. Namespaced objects without a namespace go to namespace. It
// returns the objects as the API server returned them.
func (cp *ControlPlane) ApplyYAML(ctx context.Context, namespace, stream string) ([]*unstructured.Unstructured, error) {
	objects, err := DecodeYAML(stream)
	if err != nil {
		return nil, err
	}
	return cp.Apply(ctx, namespace, objects...)
}

// ApplyFiles applies YAML files. It reads directories recursively.
func (cp *ControlPlane) ApplyFiles(
	ctx context.Context,
	namespace string,
	paths ...string,
) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, root := range paths {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || path != root && filepath.Ext(path) != ".yaml" {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			more, err := DecodeYAML(string(data))
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			objects = append(objects, more...)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return cp.Apply(ctx, namespace, objects...)
}

// Apply applies objects like ApplyYAML.
func (cp *ControlPlane) Apply(
	ctx context.Context,
	namespace string,
	objects ...*unstructured.Unstructured,
) ([]*unstructured.Unstructured, error) {
	objects = slices.Clone(objects)
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int { return rank(a) - rank(b) })
	// The API server needs some time for each CRD, and serves several at the same time.
	var definitions []string
	established := func(definition dynamic.ResourceInterface) error {
		for _, name := range definitions {
			if err := cp.established(ctx, definition, name); err != nil {
				return err
			}
		}
		definitions = nil
		return nil
	}
	for i, object := range objects {
		resource, err := cp.ResourceFor(object, namespace)
		if err != nil {
			return nil, fmt.Errorf("apply %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		applied, err := resource.Apply(
			ctx,
			object.GetName(),
			object,
			metav1.ApplyOptions{FieldManager: FieldManager, Force: true},
		)
		if err != nil {
			return nil, fmt.Errorf("apply %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		if rank(object) == 0 {
			definitions = append(definitions, object.GetName())
		}
		if i == len(objects)-1 || rank(objects[i+1]) > 0 {
			if err := established(resource); err != nil {
				return nil, err
			}
		}
		objects[i] = applied
	}
	return objects, nil
}

// rank orders objects by their dependencies.
func rank(object *unstructured.Unstructured) int {
	switch object.GetKind() {
	case "CustomResourceDefinition":
		return 0
	case "Namespace", "StorageClass", "PriorityClass", "RuntimeClass":
		return 1
	}
	return 2
}

func (cp *ControlPlane) established(ctx context.Context, resource dynamic.ResourceInterface, name string) error {
	return cp.poll(ctx, "CustomResourceDefinition "+name, func(ctx context.Context) error {
		object, err := resource.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		// An error means that the status has no conditions yet.
		conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
		for _, c := range conditions {
			if c, ok := c.(map[string]any); ok && c["type"] == "Established" && c["status"] == "True" {
				return nil
			}
		}
		return fmt.Errorf("not established: %v", conditions)
	})
}

// ResourceFor returns an administrator's client for the kind of an object, in its namespace, or in namespace if it has
// none.
func (cp *ControlPlane) ResourceFor(
	object *unstructured.Unstructured,
	namespace string,
) (dynamic.ResourceInterface, error) {
	mapping, err := cp.mapper.mapping(object)
	if err != nil {
		return nil, err
	}
	client := cp.dynamic.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return client, nil
	}
	namespace = cmp.Or(object.GetNamespace(), namespace, metav1.NamespaceDefault)
	return client.Namespace(namespace), nil
}

// mapper maps kinds to resources. It repeats discovery for an unknown kind, because its definition may be new.
type mapper struct {
	*restmapper.DeferredDiscoveryRESTMapper
}

func newMapper(client discovery.DiscoveryInterface) *mapper {
	return &mapper{restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client))}
}

func (m *mapper) mapping(object *unstructured.Unstructured) (*meta.RESTMapping, error) {
	kind := object.GroupVersionKind()
	mapping, err := m.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		m.Reset()
		mapping, err = m.RESTMapping(kind.GroupKind(), kind.Version)
	}
	return mapping, err
}
