package main

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestACompleteServiceHasNoFinding(t *testing.T) {
	t.Parallel()
	if got := findings(t, "one"); len(got) > 0 {
		t.Errorf("findings: %q", got)
	}
}

func TestEachDifferenceFromTheLayoutIsReported(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		add, content, remove, want string
	}{
		"a required file is missing": {
			remove: "services/one/internal/reconcile/observe.go",
			want:   "services/one: internal/reconcile/observe.go is missing",
		},
		"there is no kustomize base": {remove: "deploy/one/kustomization.yaml", want: "services/one: deploy/one is missing"},
		"a directory is not part of the layout": {
			add: "services/one/integration/a_test.go", want: "services/one: directory integration is not part of the layout",
		},
		"an internal package does not name a subject": {
			add:  "services/one/internal/cli/cli.go",
			want: "services/one: internal/cli: the command belongs to internal/app",
		},
		"main.go imports another package than internal/app": {
			add:  "services/one/cmd/one/more.go",
			want: "services/one: cmd/one imports internal/kafka: main.go only runs the command of internal/app",
		},
		"the name of the service is written again": {
			add: "services/one/internal/app/command.go", content: "package app\n\nvar use = \"one\"\n",
			want: "services/one: internal/app/command.go:3: use the constant Manager for the name of the service",
		},
		"the constant has another name": {
			add: "services/one/internal/decide/state.go", content: "package decide\n\nconst Manager = \"two\"\n",
			want: "services/one: 0 constants Manager = \"one\" below internal",
		},
		"the constant is declared twice": {
			add: "services/one/internal/kafka/names.go", content: "package kafka\n\nconst Manager = \"one\"\n",
			want: "services/one: 2 constants Manager = \"one\" below internal",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := findings(t, "one", change{c.add, c.content, c.remove})
			if len(got) != 1 || !strings.HasPrefix(got[0], c.want) {
				t.Errorf("findings: %q, want %q", got, c.want)
			}
		})
	}
}

func TestExceptionsNameOnlyPathsOfTheLayout(t *testing.T) {
	t.Parallel()
	for service, e := range exceptions {
		for _, path := range e.absent {
			if !slices.Contains(required, path) {
				t.Errorf("%s: %s is not part of the layout", service, path)
			}
		}
	}
}

// change is a file to add to a complete service, or one to remove. Without content the file imports internal/kafka.
type change struct{ add, content, remove string }

// findings creates a repository with one complete service, changes it, and returns the findings.
func findings(t *testing.T, service string, changes ...change) []string {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{
		"services/" + service + "/go.mod":                   "module one\n",
		"services/" + service + "/internal/decide/state.go": "package decide\n\nconst Manager = \"" + service + "\"\n",
	}
	for _, path := range required {
		path = strings.ReplaceAll(path, "%s", service)
		if filepath.Ext(path) == "" && path != "Dockerfile" {
			path += "/kustomization.yaml"
		}
		if !strings.HasPrefix(path, "deploy/") {
			path = "services/" + service + "/" + path
		}
		files[path] = "package main\n"
	}
	for _, c := range changes {
		if c.add != "" {
			imports := "package main\n\nimport _ \"" + prefix + "services/" + service + "/internal/kafka\"\n"
			files[c.add] = cmp.Or(c.content, imports)
		}
		delete(files, c.remove)
	}
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := run(root)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
