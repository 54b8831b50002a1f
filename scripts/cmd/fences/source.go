package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxMainLines is the length of a service's main.go: it names the command and nothing else.
const maxMainLines = 15

func longMains(root string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(root, "services", "*", "cmd", "*", "main.go"))
	if err != nil {
		return nil, err
	}
	var found []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return nil, err
		}
		if lines := bytes.Count(data, []byte("\n")); lines > maxMainLines {
			found = append(found, fmt.Sprintf("%s has %d lines: a service's main.go has at most %d", name, lines, maxMainLines))
		}
	}
	return found, nil
}

// clockFunctions read or wait for the clock, or make something that does.
var clockFunctions = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// clockUses finds where decide, or a package of ours below it, looks at the clock: it is given the time.
func (g graph) clockUses() ([]string, error) {
	var found []string
	for _, p := range g.own() {
		name := strings.TrimPrefix(p.ImportPath, prefix)
		if !decidePackage.MatchString(name) {
			continue
		}
		reached := []string{p.ImportPath}
		g.follow(p.Imports, ours, nil, func(imported string, _ []string) {
			// Generated code is plain types and their deep copies.
			if strings.HasPrefix(imported, prefix) && !within(imported, prefix+"generated") {
				reached = append(reached, imported)
			}
		})
		for _, below := range reached {
			uses, err := clockUsesIn(g[below])
			if err != nil {
				return nil, err
			}
			for _, use := range uses {
				found = append(found, fmt.Sprintf("%s (reached from %s) uses %s: decide is pure, it is given the time", strings.TrimPrefix(below, prefix), name, use))
			}
		}
	}
	return found, nil
}

func clockUsesIn(p pkg) ([]string, error) {
	var found []string
	for _, name := range p.GoFiles {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		clock := importedAs(file, "time")
		meta := importedAs(file, "k8s.io/apimachinery/pkg/apis/meta/v1")
		ast.Inspect(file, func(node ast.Node) bool {
			selector, ok := node.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			from, ok := selector.X.(*ast.Ident)
			if !ok {
				return true
			}
			isClock := clock != "" && from.Name == clock && slices.Contains(clockFunctions, selector.Sel.Name)
			isMeta := meta != "" && from.Name == meta && selector.Sel.Name == "Now"
			if isClock || isMeta {
				found = append(found, fmt.Sprintf("%s.%s in %s:%d", from.Name, selector.Sel.Name, name, fset.Position(node.Pos()).Line))
			}
			return true
		})
	}
	return found, nil
}

// importedAs returns the name by which the file knows a package, or nothing where it does not import it.
func importedAs(file *ast.File, path string) string {
	for _, spec := range file.Imports {
		if strings.Trim(spec.Path.Value, `"`) != path {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path[strings.LastIndex(path, "/")+1:]
	}
	return ""
}
