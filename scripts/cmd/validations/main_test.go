package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

const fish = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
spec:
  group: pond.weir.dev
  names: {kind: Fish}
  versions:
  - name: v1
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            x-kubernetes-validations: [{rule: "!has(self.fins) || has(self.tail)", message: "spec.fins need spec.tail"}]
            properties:
              friends:
                type: array
                items:
                  type: string
                  x-kubernetes-validations:
                  - {rule: "self != 'pike'", messageExpression: "'friend ' + self + ' bites: choose another'"}
`

func TestRulesOfEveryFieldAreListedWithTheirMessages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "pond.weir.dev"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"fishes.yaml":        fish,
		"kustomization.yaml": "kind: Kustomization\nresources: [fishes.yaml]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, "pond.weir.dev", name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := run(dir, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"### Fish of pond.weir.dev/v1\n",
		"| `spec` | spec.fins need spec.tail | `!has(self.fins) \\|\\| has(self.tail)` |\n",
		"| `spec.friends[]` | friend … bites: choose another | `self != 'pike'` |\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
}

func TestAMessageExpressionIsShownWithItsLiterals(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]string{
		`'a value'`:                       "a value",
		`'size ' + string(self.size)`:     "size …",
		`self.name + ' is ' + 'too long'`: "… is too long",
		`'it isn\'t'`:                     "it isn't",
	} {
		if got := message(apiextensionsv1.ValidationRule{MessageExpression: expression}); got != want {
			t.Errorf("the message of %s is %q, want %q", expression, got, want)
		}
	}
}
