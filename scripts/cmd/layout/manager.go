package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// inspectManager returns the findings about the name of a service: the code below internal/ has it once, in the
// constant Manager. The name is that of the command, the field manager and the lease, and the value of
// app.kubernetes.io/managed-by.
func inspectManager(dir, service string) ([]string, error) {
	declared := 0
	var findings []string
	err := filepath.WalkDir(filepath.Join(dir, "internal"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		constants, others := namesIn(file, service)
		declared += constants
		for _, position := range others {
			name, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			findings = append(findings, fmt.Sprintf("%s:%d: use the constant Manager for the name of the service",
				name, files.Position(position).Line))
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	if declared != 1 {
		findings = append(findings, fmt.Sprintf(
			"%d constants Manager = %q below internal: a service has one, and uses it as its name and field manager",
			declared, service))
	}
	return findings, nil
}

// namesIn returns the number of constants Manager with the name of the service, and the other places of the name.
func namesIn(file *ast.File, service string) (constants int, others []token.Pos) {
	declarations := map[ast.Expr]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			if len(n.Names) == 1 && n.Names[0].Name == "Manager" && len(n.Values) == 1 {
				declarations[n.Values[0]] = true
			}
		case *ast.BasicLit:
			value, err := strconv.Unquote(n.Value)
			switch {
			case n.Kind != token.STRING || err != nil || value != service:
			case declarations[n]:
				constants++
			default:
				others = append(others, n.Pos())
			}
		}
		return true
	})
	return constants, others
}
