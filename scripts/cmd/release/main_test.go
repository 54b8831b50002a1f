package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const service = `apiVersion: v1
kind: Namespace
metadata: {name: weir-system}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: fishes.pond.weir.dev}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: one}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: one}}
  template:
    metadata: {labels: {app.kubernetes.io/name: one}}
    spec:
      containers:
      - image: ghcr.io/weir-dev/one:latest
        args: [--runner-image=ghcr.io/weir-dev/runner:latest]
      - image: example.com/other:1.0
`

// release writes the release v0.1.0 of the services and returns the file with the path.
func release(t *testing.T, services map[string]string) (func(path string) string, error) {
	t.Helper()
	in, out := t.TempDir(), t.TempDir()
	for name, content := range services {
		if err := os.WriteFile(filepath.Join(in, name+".yaml"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return func(path string) string {
		data, err := os.ReadFile(filepath.Join(out, path))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}, run("v0.1.0", in, out)
}

func TestImagesOfTheSuiteArePinned(t *testing.T) {
	t.Parallel()
	file, err := release(t, map[string]string{"one": service})
	if err != nil {
		t.Fatal(err)
	}
	got := file("one/install.yaml")
	for _, want := range []string{
		"image: ghcr.io/weir-dev/one:v0.1.0\n",
		"- --runner-image=ghcr.io/weir-dev/runner:v0.1.0\n",
		"image: example.com/other:1.0\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Contains(got, "latest") {
		t.Errorf("an image is not pinned:\n%s", got)
	}
}

func TestTheSelectorKeepsItsLabelsAndTheTemplateGetsTheVersion(t *testing.T) {
	t.Parallel()
	file, err := release(t, map[string]string{"one": service})
	if err != nil {
		t.Fatal(err)
	}
	got := file("one/install.yaml")
	if !strings.Contains(got, "matchLabels:\n      app.kubernetes.io/name: one\n  template:") {
		t.Errorf("the selector changed:\n%s", got)
	}
	if n := strings.Count(got, "app.kubernetes.io/version: v0.1.0"); n != 2 {
		t.Errorf("%d version labels, want 2, of the object and of its template:\n%s", n, got)
	}
}

func TestCRDsAndNamespacesAreWrittenOnceToAFileOfTheirOwn(t *testing.T) {
	t.Parallel()
	file, err := release(t, map[string]string{"one": service, "two": service})
	if err != nil {
		t.Fatal(err)
	}
	first := file("base/install.yaml")
	for _, kind := range []string{"kind: Namespace\n", "kind: CustomResourceDefinition\n"} {
		if strings.Count(first, kind) != 1 {
			t.Errorf("want %q once in\n%s", kind, first)
		}
		for _, name := range []string{"one", "two"} {
			if strings.Contains(file(name+"/install.yaml"), kind) {
				t.Errorf("%s/install.yaml contains %q", name, kind)
			}
		}
	}
}

func TestAnImageWithAnotherTagThanLatestIsAnError(t *testing.T) {
	t.Parallel()
	_, err := release(t, map[string]string{"one": strings.Replace(service, "one:latest", "one:v0.0.9", 1)})
	if err == nil || !strings.Contains(err.Error(), `Deployment one: image "ghcr.io/weir-dev/one:v0.0.9" has a tag`) {
		t.Errorf("error is %v", err)
	}
}

func TestAVersionMustBeASemanticVersion(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"", "0.1.0", "v1", "v1.2", "v01.2.3", "v1.2.3+build", "latest"} {
		if err := run(version, t.TempDir(), t.TempDir()); err == nil ||
			!strings.Contains(err.Error(), "not a semantic version") {
			t.Errorf("%q: error is %v", version, err)
		}
	}
}
