// Command layout fails if a service departs from the layout that all services share.
package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-dev/weir/scripts/internal/check"
)

const prefix = "github.com/weir-dev/weir/"

// exception describes how one service differs from the others.
type exception struct {
	// reason is why the service differs.
	reason string
	// absent lists paths of the layout that the service does not have. %s in a path of the layout is the service's name.
	absent []string
	// extra lists directories that only this service has.
	extra []string
}

var exceptions = map[string]exception{
	"connect-runner": {
		reason: "it runs in the pods that connect-scheduler creates: it has no controller and is not deployed on its own",
		absent: []string{
			"internal/decide", "internal/reconcile/caches.go", "internal/reconcile/observe.go", "internal/reconcile/act.go",
			"internal/reconcile/reconciler.go", "deploy/%s",
		},
		extra: []string{"jvm", "scripts"},
	},
}

// required lists the paths that every service has, relative to services/<name>. Paths under deploy/ are relative to the
// root of the repository. A path without an extension may be a directory.
var required = []string{
	"cmd/%s/main.go",
	"internal/app",
	"internal/decide",
	"internal/reconcile/caches.go",
	"internal/reconcile/observe.go",
	"internal/reconcile/act.go",
	"internal/reconcile/reconciler.go",
	"test/integration",
	"README.md",
	"Dockerfile",
	"deploy/%s",
}

// directories are the directories that a service may have.
var directories = []string{"cmd", "internal", "test", "testdata"}

// forbidden lists package names below internal/ that do not name a subject, with the place for their content.
var forbidden = map[string]string{
	"cli":     "the command belongs to internal/app",
	"common":  "name the subject, or use pkg/",
	"service": "the composition root is internal/app",
	"util":    "name the subject, or use pkg/",
	"utils":   "name the subject, or use pkg/",
}

func main() { os.Exit(check.Main("layout", run)) }

func run(root string) ([]string, error) {
	modules, err := filepath.Glob(filepath.Join(root, "services", "*", "go.mod"))
	if err != nil {
		return nil, err
	}
	var findings []string
	for _, module := range modules {
		found, err := inspect(root, filepath.Base(filepath.Dir(module)))
		if err != nil {
			return nil, err
		}
		findings = append(findings, found...)
	}
	return findings, nil
}

// inspect returns the findings for one service.
func inspect(root, service string) ([]string, error) {
	dir := filepath.Join(root, "services", service)
	allowed := exceptions[service]
	var findings []string
	report := func(format string, args ...any) {
		findings = append(findings, "services/"+service+": "+fmt.Sprintf(format, args...))
	}
	for _, path := range required {
		if slices.Contains(allowed.absent, path) {
			continue
		}
		path = strings.ReplaceAll(path, "%s", service)
		base := dir
		if strings.HasPrefix(path, "deploy/") {
			base = root
		}
		if _, err := os.Stat(filepath.Join(base, path)); err != nil {
			report("%s is missing: every service has it", path)
		}
	}
	entries, err := subdirectories(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range entries {
		if !slices.Contains(directories, name) && !slices.Contains(allowed.extra, name) {
			report("directory %s is not part of the layout; a service has %s", name, strings.Join(directories, ", "))
		}
	}
	internal, err := subdirectories(filepath.Join(dir, "internal"))
	if err != nil {
		return nil, err
	}
	for _, name := range internal {
		if advice, found := forbidden[name]; found {
			report("internal/%s: %s", name, advice)
		}
	}
	names, err := inspectManager(dir, service)
	if err != nil {
		return nil, err
	}
	for _, finding := range names {
		report("%s", finding)
	}
	imports, err := ownImports(filepath.Join(dir, "cmd", service), service)
	if err != nil {
		return nil, err
	}
	for _, imported := range imports {
		if imported != "internal/app" {
			report("cmd/%s imports %s: main.go only runs the command of internal/app", service, imported)
		}
	}
	return findings, nil
}

// subdirectories returns the names of the directories in dir, none if dir does not exist.
func subdirectories(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// ownImports returns the packages of the service that the Go files in dir import, relative to the service's module.
func ownImports(dir, service string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	var found []string
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return nil, err
		}
		for _, spec := range file.Imports {
			imported := strings.Trim(spec.Path.Value, `"`)
			if name, own := strings.CutPrefix(imported, prefix+"services/"+service+"/"); own {
				found = append(found, name)
			}
		}
	}
	return found, nil
}
