package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// writeOptions are the types that every write of a typed client takes.
var writeOptions = []string{"CreateOptions", "UpdateOptions", "PatchOptions", "ApplyOptions", "DeleteOptions"}

// justification is the start of a comment on a write that pkg/apply cannot make. The reason follows.
const justification = "Not through pkg/apply: "

// writes returns a finding for each write to the API that is not made through pkg/apply and is not justified by a
// comment. Tests and their libraries may write as they like.
func (g graph) writes() ([]string, error) {
	var found []string
	for _, p := range g.own() {
		name := strings.TrimPrefix(p.ImportPath, prefix)
		if isTestLibrary(name) || within(name, "pkg/apply") || !within(name, "pkg", "services") {
			continue
		}
		for _, file := range p.GoFiles {
			lines, err := writesIn(filepath.Join(p.Dir, file))
			if err != nil {
				return nil, err
			}
			for _, line := range lines {
				found = append(found, fmt.Sprintf("%s/%s:%d writes to the API without pkg/apply: use its functions, or "+
					"explain above the line why they do not fit, in a comment that starts with %q",
					name, file, line, "// "+justification))
			}
		}
	}
	return found, nil
}

// isTestLibrary reports whether only tests import a package: those below test/, and those named <name>test or
// fake<name>.
func isTestLibrary(name string) bool {
	_, inService := cutService(name)
	base := path.Base(name)
	return within(name, "pkg/testkit") || within(inService, "test") || strings.HasSuffix(base, "test") ||
		strings.HasPrefix(base, "fake")
}

// writesIn returns the lines of a file that make options of a write without a justification.
func writesIn(name string) ([]int, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	meta := importedAs(file, "k8s.io/apimachinery/pkg/apis/meta/v1")
	if meta == "" {
		return nil, nil
	}
	line := func(p token.Pos) int { return fset.Position(p).Line }
	// The lines after a justification, and the lines of declarations whose comment is one.
	justified := map[int]bool{}
	for _, comment := range file.Comments {
		if strings.Contains(strings.Join(strings.Fields(comment.Text()), " "), justification) {
			justified[line(comment.End())+1] = true
		}
	}
	for _, declaration := range file.Decls {
		if function, ok := declaration.(*ast.FuncDecl); ok && justified[line(function.Pos())] {
			for at := line(function.Pos()); at <= line(function.End()); at++ {
				justified[at] = true
			}
		}
	}
	var found []int
	ast.Inspect(file, func(node ast.Node) bool {
		// A function that takes options, or an interface of a client, does not write.
		if _, isType := node.(*ast.FuncType); isType {
			return false
		}
		selector, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		from, ok := selector.X.(*ast.Ident)
		if ok && from.Name == meta && slices.Contains(writeOptions, selector.Sel.Name) && !justified[line(node.Pos())] {
			found = append(found, line(node.Pos()))
		}
		return true
	})
	return found, nil
}
