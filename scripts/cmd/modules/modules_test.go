package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	t.Run("imported siblings are required, and those that only siblings import are indirect", func(t *testing.T) {
		root := repository(t, map[string]string{
			"services/one/main.go":         `package main; import _ "github.com/weir-dev/weir/generated/clients"`,
			"generated/clients/clients.go": `package clients; import _ "github.com/weir-dev/weir/apis/pond"`,
			"apis/pond/pond.go":            `package pond`,
		})
		write(t, root)
		got := read(t, root, "services/one/go.mod")
		for _, want := range []string{
			"github.com/weir-dev/weir/generated v0.0.0\n",
			"github.com/weir-dev/weir/apis v0.0.0 // indirect\n",
			"replace github.com/weir-dev/weir/apis => ../../apis\n",
			"replace github.com/weir-dev/weir/generated => ../../generated\n",
			"replace github.com/weir-dev/weir/pkg => ../../pkg\n",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("%q is missing in\n%s", want, got)
			}
		}
		if strings.Contains(got, "weir/pkg v0.0.0") {
			t.Errorf("pkg is required, but nothing imports it:\n%s", got)
		}
	})

	t.Run("a sibling that is not imported, or not allowed, is removed", func(t *testing.T) {
		root := repository(t, nil)
		path := filepath.Join(root, "pkg", "go.mod")
		stale := "module github.com/weir-dev/weir/pkg\n\ngo 1.26.0\n\n" +
			"require github.com/weir-dev/weir/apis v0.0.0\n\nreplace github.com/weir-dev/weir/apis => ../apis\n"
		if err := os.WriteFile(path, []byte(stale), 0o600); err != nil {
			t.Fatal(err)
		}
		write(t, root)
		if got := read(t, root, "pkg/go.mod"); strings.Contains(got, "apis") {
			t.Errorf("apis is still required:\n%s", got)
		}
	})

	t.Run("go.work lists every module", func(t *testing.T) {
		root := repository(t, nil)
		write(t, root)
		want := "go 1.26.0\n\nuse (\n\t./apis\n\t./generated\n\t./pkg\n\t./services/one\n)\n"
		if got := read(t, root, "go.work"); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})

	t.Run("check lists stale files without writing them, and none after a write", func(t *testing.T) {
		root := repository(t, nil)
		stale, err := run(root, false)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(stale, "go.work") || !slices.Contains(stale, "services/one/go.mod") {
			t.Errorf("only %v are stale", stale)
		}
		if _, err := os.Stat(filepath.Join(root, "go.work")); !os.IsNotExist(err) {
			t.Errorf("go.work was written: %v", err)
		}
		write(t, root)
		if stale, err := run(root, false); err != nil || len(stale) != 0 {
			t.Errorf("still stale: %v %v", stale, err)
		}
	})

	t.Run("a module path that differs from its directory is an error", func(t *testing.T) {
		root := repository(t, nil)
		path := filepath.Join(root, "apis", "go.mod")
		if err := os.WriteFile(path, []byte("module example.com/apis\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := run(root, true); err == nil || !strings.Contains(err.Error(), "example.com/apis") {
			t.Errorf("want an error, got %v", err)
		}
	})
}

// repository creates a repository with four modules and the given files.
func repository(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	all := map[string]string{}
	for _, module := range []string{"apis", "generated", "pkg", "services/one"} {
		all[module+"/go.mod"] = "module " + prefix + module + "\n"
	}
	for name, content := range files {
		all[name] = content
	}
	for name, content := range all {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func write(t *testing.T, root string) {
	t.Helper()
	if _, err := run(root, true); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, root, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
