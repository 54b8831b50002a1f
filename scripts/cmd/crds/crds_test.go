package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const models = `{"swagger": "2.0", "definitions": {
  "com.github.weir-dev.weir.apis.pond.v1.Fish": {"type": "object", "properties": {
    "spec": {"$ref": "#/definitions/com.github.weir-dev.weir.apis.pond.v1.FishSpec"}}},
  "com.github.weir-dev.weir.apis.pond.v1.FishSpec": {"type": "object", "properties": {
    "size": {"type": "string"},
    "volumes": {"type": "array", "items": {"$ref": "#/definitions/io.k8s.api.core.v1.Volume"}},
    "affinity": {"$ref": "#/definitions/io.k8s.api.core.v1.Affinity"},
    "friends": {"type": "object",
      "additionalProperties": {"$ref": "#/definitions/com.github.weir-dev.weir.apis.pond.v1.Friend"}}}},
  "com.github.weir-dev.weir.apis.pond.v1.Friend": {"type": "object", "properties": {"name": {"type": "string"}}}}}`

const fish = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: fishes.pond.weir.dev}
spec:
  group: pond.weir.dev
  names: {kind: Fish, listKind: FishList, plural: fishes, singular: fish}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        description: a fish
        type: object
        properties:
          spec:
            description: desired state
            type: object
            properties:
              size: {description: the size, type: string}
              volumes:
                description: our words about volumes
                type: array
                items:
                  description: core volume
                  type: object
                  properties:
                    name: {description: core name, type: string}
              affinity:
                description: our words about affinity
                type: object
                properties:
                  description: {description: a core field of this name, type: string}
              friends:
                description: other fish
                type: object
                additionalProperties:
                  description: a friend
                  type: object
                  properties:
                    name: {description: its name, type: string}
`

func TestFinish(t *testing.T) {
	t.Run("descriptions of our types are kept and those of core types are removed", func(t *testing.T) {
		text, err := finished(t, fish)
		if err != nil {
			t.Fatal(err)
		}
		for _, kept := range []string{
			"a fish", "desired state", "the size", "our words about volumes", "our words about affinity", "other fish",
			"a friend", "its name",
		} {
			if !strings.Contains(text, "description: "+kept) {
				t.Errorf("%q is missing", kept)
			}
		}
		if strings.Contains(text, "core") {
			t.Errorf("descriptions of core types remain:\n%s", text)
		}
	})

	t.Run("a core field named description is kept", func(t *testing.T) {
		text, err := finished(t, fish)
		if err != nil {
			t.Fatal(err)
		}
		var crd object
		if err := yaml.Unmarshal([]byte(text), &crd); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, "description:\n                    type: string") {
			t.Errorf("the field is missing:\n%s", text)
		}
	})

	t.Run("the CRD gets the label part-of=weir", func(t *testing.T) {
		text, err := finished(t, fish)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, "app.kubernetes.io/part-of: weir") {
			t.Error("the label is missing")
		}
	})

	t.Run("a CEL rule that does not compile is an error", func(t *testing.T) {
		_, err := finished(t, strings.Replace(fish, "{description: the size, type: string}",
			"{type: string, x-kubernetes-validations: [{rule: 'self.nonsense > 1'}]}", 1))
		if err == nil || !strings.Contains(err.Error(), "compilation failed") {
			t.Errorf("want an error, got %v", err)
		}
	})

	t.Run("a CEL rule of unbounded cost is an error", func(t *testing.T) {
		_, err := finished(
			t,
			strings.Replace(
				fish,
				"friends:\n",
				"friends:\n                x-kubernetes-validations: [{rule: 'self.all(a, self.all(b, a != b))'}]\n",
				1,
			),
		)
		if err == nil || !strings.Contains(err.Error(), "cost exceeds budget") {
			t.Errorf("want an error, got %v", err)
		}
	})

	t.Run("a CRD too large for a client-side apply is an error", func(t *testing.T) {
		_, err := finished(t, strings.Replace(fish, "a fish", strings.Repeat("a long fish ", sizeLimit/10), 1))
		if err == nil || !strings.Contains(err.Error(), "client-side apply") {
			t.Errorf("want an error, got %v", err)
		}
	})
}

func finished(t *testing.T, crd string) (string, error) {
	t.Helper()
	in, out, schema := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "models.json")
	for path, content := range map[string]string{schema: models, filepath.Join(in, "pond.weir.dev_fishes.yaml"): crd} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(schema, in, out); err != nil {
		return "", err
	}
	data, err := os.ReadFile(filepath.Join(out, "pond.weir.dev", "fishes.yaml"))
	return string(data), err
}
