// Command fences fails if a package imports a package that the architecture forbids, if decide reads the clock, and if
// a package writes to the API without pkg/apply. The rules are in rules.go, and in layers.go for the packages of one
// service.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-dev/weir/scripts/internal/check"
)

func main() { os.Exit(check.Main("fences", run)) }

func run(root string) ([]string, error) {
	modules, err := filepath.Glob(filepath.Join(root, "*", "go.mod"))
	if err != nil {
		return nil, err
	}
	services, err := filepath.Glob(filepath.Join(root, "services", "*", "go.mod"))
	if err != nil {
		return nil, err
	}
	var findings []string
	for _, module := range append(modules, services...) {
		graph, err := load(filepath.Dir(module))
		if err != nil {
			return nil, err
		}
		findings = append(findings, graph.violations(rules)...)
		findings = append(findings, graph.violations(layerRules)...)
		impure, err := graph.clockUses()
		if err != nil {
			return nil, err
		}
		findings = append(findings, impure...)
		writes, err := graph.writes()
		if err != nil {
			return nil, err
		}
		findings = append(findings, writes...)
	}
	long, err := longMains(root)
	if err != nil {
		return nil, err
	}
	findings = append(findings, long...)
	slices.Sort(findings)
	return slices.Compact(findings), nil
}

// pkg is the output of `go list` for a package.
type pkg struct {
	ImportPath, Dir, ForTest           string
	GoFiles                            []string
	Imports, TestImports, XTestImports []string
	DepOnly                            bool
}

// graph holds the packages of one module and all packages that they import, by import path.
type graph map[string]pkg

func load(dir string) (graph, error) {
	list := exec.Command("go", "list", "-e", "-deps", "-test",
		"-json=ImportPath,Dir,ForTest,GoFiles,Imports,TestImports,XTestImports,DepOnly", "./...")
	list.Dir = dir
	var stderr bytes.Buffer
	list.Stderr = &stderr
	output, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list packages of %s: %w: %s", dir, err, stderr.String())
	}
	packages := graph{}
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("list packages of %s: %w", dir, err)
		}
		// A variant compiled for a test imports nothing that the package and its TestImports do not list.
		if p.ForTest == "" && !strings.HasSuffix(p.ImportPath, ".test") {
			packages[p.ImportPath] = p
		}
	}
}

// own returns the packages of the module.
func (g graph) own() []pkg {
	var own []pkg
	for _, p := range g {
		if !p.DepOnly && strings.HasPrefix(p.ImportPath, prefix) {
			own = append(own, p)
		}
	}
	return own
}

func (g graph) violations(rules []rule) []string {
	var found []string
	for _, p := range g.own() {
		name := strings.TrimPrefix(p.ImportPath, prefix)
		for _, r := range rules {
			if !r.from(name) {
				continue
			}
			imports := p.Imports
			if r.tests {
				imports = slices.Concat(imports, p.TestImports, p.XTestImports)
			}
			g.follow(imports, r.reach, nil, func(imported string, via []string) {
				if r.forbids(name, imported) {
					found = append(found, describe(name, imported, via, r.reason))
				}
			})
		}
	}
	return found
}

func describe(name, imported string, via []string, reason string) string {
	through := ""
	if len(via) > 0 {
		through = " (through " + strings.Join(via, ", ") + ")"
	}
	return fmt.Sprintf("%s imports %s%s: %s", name, imported, through, reason)
}

// follow visits each import once, as far as reach allows. via lists the packages between the first one and the import.
func (g graph) follow(imports []string, r reach, via []string, visit func(imported string, via []string)) {
	seen := map[string]bool{}
	var walk func(imports, via []string)
	walk = func(imports, via []string) {
		for _, imported := range imports {
			if seen[imported] || imported == "C" || imported == "unsafe" {
				continue
			}
			seen[imported] = true
			visit(imported, via)
			if r.enters(imported) {
				walk(g[imported].Imports, append(slices.Clone(via), strings.TrimPrefix(imported, prefix)))
			}
		}
	}
	walk(imports, via)
}
