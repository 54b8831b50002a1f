// Command crds post-processes the CRDs that controller-gen writes. It removes the descriptions of embedded core
// types, so that a CRD fits into the annotation of a client-side apply, adds Weir's labels, and validates the result.
// It writes one directory per API group, so that a service can install only its own groups.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/yaml"
)

const (
	oursPrefix = "com.github.weir-dev.weir."
	corePrefix = "io.k8s.api."
	// sizeLimit is below 262144, the maximum size in bytes of all annotations of an object.
	sizeLimit = 250_000
)

type object = map[string]any

func main() {
	schema := flag.String("schema", "", "OpenAPI v2 document of the types")
	in := flag.String("in", "", "directory of controller-gen's output")
	out := flag.String("out", "", "directory to write to")
	flag.Parse()
	if err := run(*schema, *in, *out); err != nil {
		fmt.Fprintln(os.Stderr, "crds:", err)
		os.Exit(1)
	}
}

func run(schema, in, out string) error {
	data, err := os.ReadFile(schema)
	if err != nil {
		return err
	}
	var models spec.Swagger
	if err := json.Unmarshal(data, &models); err != nil {
		return fmt.Errorf("read %s: %w", schema, err)
	}
	files, err := filepath.Glob(filepath.Join(in, "*.yaml"))
	if err != nil {
		return err
	}
	groups := map[string][]string{}
	for _, file := range files {
		// controller-gen names a file GROUP_PLURAL.yaml.
		group, plural, _ := strings.Cut(filepath.Base(file), "_")
		groups[group] = append(groups[group], plural)
		if err := finish(file, filepath.Join(out, group, plural), models.Definitions); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
	}
	for group, resources := range groups {
		if err := kustomization(filepath.Join(out, group), resources); err != nil {
			return err
		}
	}
	return kustomization(out, slices.Sorted(maps.Keys(groups)))
}

// kustomization writes a kustomization.yaml that lists the resources.
func kustomization(dir string, resources []string) error {
	data, err := yaml.Marshal(object{
		"apiVersion": "kustomize.config.k8s.io/v1beta1",
		"kind":       "Kustomization",
		"resources":  resources,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "kustomization.yaml"), data, 0o644)
}

// finish writes the post-processed CRD of file to out.
func finish(file, out string, models spec.Definitions) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	crd := object{}
	if err := yaml.Unmarshal(data, &crd); err != nil {
		return err
	}
	label(crd)
	definition := child(crd, "spec")
	versions, _ := definition["versions"].([]any)
	for _, version := range versions {
		version, _ := version.(object)
		model, err := modelOf(models, fmt.Sprintf(".%s.%s", version["name"], child(definition, "names")["kind"]))
		if err != nil {
			return err
		}
		trimmer{models}.trim(child(child(version, "schema"), "openAPIV3Schema"), model)
	}
	compact, err := json.Marshal(crd)
	if err != nil {
		return err
	}
	if len(compact) > sizeLimit {
		return fmt.Errorf(
			"%d bytes of JSON exceed %d, the limit of a client-side apply",
			len(compact),
			sizeLimit,
		)
	}
	if data, err = yaml.Marshal(crd); err != nil {
		return err
	}
	if err := validate(data); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	return os.WriteFile(out, data, 0o644)
}

// label adds Weir's labels.
func label(crd object) {
	metadata := child(crd, "metadata")
	labels := child(metadata, "labels")
	labels["app.kubernetes.io/part-of"] = "weir"
	metadata["labels"] = labels
}

// modelOf returns the model of the one type in this repository whose name ends in suffix.
func modelOf(models spec.Definitions, suffix string) (spec.Schema, error) {
	var found []string
	for name := range models {
		if strings.HasPrefix(name, oursPrefix) && strings.HasSuffix(name, suffix) {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		return spec.Schema{}, fmt.Errorf("want one type whose name ends in %s, found %v", suffix, found)
	}
	return models[found[0]], nil
}

// trimmer removes the descriptions of core types.
type trimmer struct{ models spec.Definitions }

// trim walks a CRD's schema together with the model of its Go type. Only the model refers to types by name.
func (t trimmer) trim(node object, model spec.Schema) {
	if reference := referenceOf(model); reference != "" {
		if strings.HasPrefix(reference, corePrefix) {
			forEachChild(node, dropDescriptions)
			return
		}
		model = t.models[reference]
	}
	for name, property := range child(node, "properties") {
		t.trim(property.(object), model.Properties[name])
	}
	if items, ok := node["items"].(object); ok && model.Items != nil && model.Items.Schema != nil {
		t.trimElement(items, *model.Items.Schema)
	}
	if values, ok := node["additionalProperties"].(object); ok && model.AdditionalProperties != nil &&
		model.AdditionalProperties.Schema != nil {
		t.trimElement(values, *model.AdditionalProperties.Schema)
	}
}

// trimElement trims the element of a list or map. Unlike a property, an element has the description of its type.
func (t trimmer) trimElement(node object, model spec.Schema) {
	if strings.HasPrefix(referenceOf(model), corePrefix) {
		dropDescriptions(node)
		return
	}
	t.trim(node, model)
}

// referenceOf returns the name of the type that a schema refers to, or "".
func referenceOf(model spec.Schema) string {
	for _, part := range append([]spec.Schema{model}, model.AllOf...) {
		if name, ok := strings.CutPrefix(part.Ref.String(), "#/definitions/"); ok {
			return name
		}
	}
	return ""
}

// dropDescriptions removes the description of a schema and of everything below it.
func dropDescriptions(node object) {
	delete(node, "description")
	forEachChild(node, dropDescriptions)
}

// forEachChild calls visit for each property and for the element of a list or map.
func forEachChild(node object, visit func(object)) {
	for _, property := range child(node, "properties") {
		visit(property.(object))
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if element, ok := node[key].(object); ok {
			visit(element)
		}
	}
}

// child returns the object at key, or an empty object.
func child(node object, key string) object {
	if value, ok := node[key].(object); ok {
		return value
	}
	return object{}
}
