// Command release writes the manifests of a release. It reads the output of kustomize, one file per service, and writes
//
//	base/install.yaml       the CRDs and Namespaces of all services; installed first and kept when a service is removed
//	<service>/install.yaml  all other objects of a service
//	RELEASE_NOTES.md        the section of CHANGELOG.md for the version, or Unreleased before there is one
//
// Every image of the suite gets the tag of the release, and every object the label app.kubernetes.io/version.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

const (
	registry     = "ghcr.io/weir-dev/"
	versionLabel = "app.kubernetes.io/version"
	// shared is the directory of the objects that are installed first.
	shared = "base"
)

// semver is a version of the form v1.2.3 or v1.2.3-rc.1. Build metadata is excluded: an image tag cannot contain a
// plus.
var semver = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`)

func main() {
	version := flag.String("version", "", "version of the release, for example v0.1.0")
	in := flag.String("in", "", "directory with the output of kustomize, <service>.yaml")
	out := flag.String("out", "", "directory to write to")
	changelog := flag.String("changelog", "", "CHANGELOG.md of the release")
	flag.Parse()
	err := run(*version, *in, *out)
	if err == nil {
		err = writeNotes(*version, *changelog, *out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(version, in, out string) error {
	if !semver.MatchString(version) {
		return fmt.Errorf("version %q is not a semantic version with the prefix v; use for example v0.1.0", version)
	}
	files, err := filepath.Glob(filepath.Join(in, "*.yaml"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%s contains no manifest", in)
	}
	var first []*unstructured.Unstructured
	for _, file := range files {
		service := strings.TrimSuffix(filepath.Base(file), ".yaml")
		objects, err := read(file)
		if err != nil {
			return err
		}
		var rest []*unstructured.Unstructured
		for _, object := range objects {
			if err := pin(object.Object, version); err != nil {
				return fmt.Errorf("%s: %s %s: %w", service, object.GetKind(), object.GetName(), err)
			}
			label(object, version)
			switch {
			case !installedFirst(object):
				rest = append(rest, object)
			case !slices.ContainsFunc(first, same(object)):
				first = append(first, object)
			}
		}
		if service == shared {
			if len(rest) > 0 {
				return fmt.Errorf("%s contains %s %s; only CRDs and Namespaces are installed first",
					file, rest[0].GetKind(), rest[0].GetName())
			}
			continue
		}
		if err := write(filepath.Join(out, service, "install.yaml"), rest); err != nil {
			return err
		}
	}
	// A Namespace does not depend on a CRD, and is created first by convention.
	slices.SortStableFunc(first, func(a, b *unstructured.Unstructured) int {
		return strings.Compare(b.GetKind(), a.GetKind())
	})
	return write(filepath.Join(out, shared, "install.yaml"), first)
}

// installedFirst reports whether an object is shared by services, or contains the data of users.
func installedFirst(object *unstructured.Unstructured) bool {
	return object.GetKind() == "CustomResourceDefinition" || object.GetKind() == "Namespace"
}

// same returns a function that reports whether an object has the same kind and name.
func same(object *unstructured.Unstructured) func(*unstructured.Unstructured) bool {
	return func(other *unstructured.Unstructured) bool {
		return object.GroupVersionKind() == other.GroupVersionKind() && object.GetName() == other.GetName()
	}
}

// pin gives every image of the suite in a value, and in all values below it, the tag of the release. Images appear in
// pod templates and in the arguments of containers. It fails if an image already has another tag than latest.
func pin(value any, version string) error {
	var errs []error
	replace := func(text string) string {
		at := strings.Index(text, registry)
		if at < 0 {
			return text
		}
		end := at + len(registry)
		for end < len(text) && !strings.ContainsRune(" ,;\"'", rune(text[end])) {
			end++
		}
		name, tag, found := strings.Cut(text[at+len(registry):end], ":")
		if found && tag != "latest" || strings.Contains(name, "@") {
			errs = append(
				errs,
				fmt.Errorf("image %q has a tag or digest; manifests in deploy/ use latest", text[at:end]),
			)
			return text
		}
		return text[:at] + registry + name + ":" + version + text[end:]
	}
	var walk func(any) any
	walk = func(value any) any {
		switch v := value.(type) {
		case map[string]any:
			for key, element := range v {
				v[key] = walk(element)
			}
		case []any:
			for i, element := range v {
				v[i] = walk(element)
			}
		case string:
			return replace(v)
		}
		return value
	}
	walk(value)
	return errors.Join(errs...)
}

// label adds the label with the version to an object, and to its pod template if it has one.
func label(object *unstructured.Unstructured, version string) {
	labels := object.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[versionLabel] = version
	object.SetLabels(labels)
	if _, found, _ := unstructured.NestedMap(object.Object, "spec", "template", "spec"); found {
		// The error is for a template that is not an object, which NestedMap excludes.
		_ = unstructured.SetNestedField(
			object.Object,
			version,
			"spec",
			"template",
			"metadata",
			"labels",
			versionLabel,
		)
	}
}

// read returns the objects of a file with YAML documents.
func read(file string) ([]*unstructured.Unstructured, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096); ; {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// write writes objects as YAML documents.
func write(file string, objects []*unstructured.Unstructured) error {
	var documents [][]byte
	for _, object := range objects {
		data, err := yaml.Marshal(object.Object)
		if err != nil {
			return err
		}
		documents = append(documents, data)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, bytes.Join(documents, []byte("---\n")), 0o644)
}
