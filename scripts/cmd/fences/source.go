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

// maxMainLines limits a service's main.go: it only runs the command of internal/app.
const maxMainLines = 15

// longMains returns a finding for each main.go of a service that is too long.
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
			found = append(
				found,
				fmt.Sprintf("%s has %d lines, more than %d: move code to internal/app", name, lines, maxMainLines),
			)
		}
	}
	return found, nil
}

// clockFunctions read the clock or wait for it.
var clockFunctions = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// clockUses returns a finding for each use of the clock in decide, or in a package of the repository that decide
// imports.
func (g graph) clockUses() ([]string, error) {
	var found []string
	for _, p := range g.own() {
		name := strings.TrimPrefix(p.ImportPath, prefix)
		if !decidePackage.MatchString(name) {
			continue
		}
		reached := []string{p.ImportPath}
		g.follow(p.Imports, ours, nil, func(imported string, _ []string) {
			// Generated code contains only types and their deep copies.
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
				found = append(
					found,
					fmt.Sprintf("%s (imported by %s) uses %s: decide is pure, pass the time as an argument",
						strings.TrimPrefix(below, prefix), name, use),
				)
			}
		}
	}
	return found, nil
}

// clockUsesIn returns the uses of the clock in the files of one package.
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
				found = append(
					found,
					fmt.Sprintf("%s.%s in %s:%d", from.Name, selector.Sel.Name, name, fset.Position(node.Pos()).Line),
				)
			}
			return true
		})
	}
	return found, nil
}

// importedAs returns the name of an imported package in the file, or "" if the file does not import it.
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
