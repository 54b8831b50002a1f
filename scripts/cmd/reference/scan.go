package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// metricsIn returns the metrics that a package declares with prometheus.*Opts or prometheus.NewDesc.
func metricsIn(dir string) ([]metric, error) {
	fset := token.NewFileSet()
	entries, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	for _, path := range entries {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	s := scanner{fset: fset, constants: constantsOf(files)}
	for _, file := range files {
		for _, declaration := range file.Decls {
			s.declaration(files, declaration)
		}
	}
	return s.found, errors.Join(s.errs...)
}

// declaration adds the metrics of a declaration. A function that takes the name and the help text as parameters
// declares one metric per call.
func (s *scanner) declaration(files []*ast.File, declaration ast.Decl) {
	attempt := scanner{fset: s.fset, constants: s.constants}
	ast.Inspect(declaration, attempt.visit)
	function, ok := declaration.(*ast.FuncDecl)
	if len(attempt.errs) == 0 || !ok {
		s.found, s.errs = append(s.found, attempt.found...), append(s.errs, attempt.errs...)
		return
	}
	var parameters []string
	for _, field := range function.Type.Params.List {
		for _, name := range field.Names {
			parameters = append(parameters, name.Name)
		}
	}
	calls := callsOf(files, function.Name.Name, len(parameters))
	if len(calls) == 0 {
		s.errs = append(s.errs, attempt.errs...)
	}
	for _, call := range calls {
		bound := scanner{fset: s.fset, constants: maps.Clone(s.constants)}
		for i, name := range parameters {
			bound.constants[name] = call.Args[i]
		}
		ast.Inspect(function, bound.visit)
		s.found, s.errs = append(s.found, bound.found...), append(s.errs, bound.errs...)
	}
}

// callsOf returns the calls of a function or method of the package.
func callsOf(files []*ast.File, name string, arguments int) []*ast.CallExpr {
	var calls []*ast.CallExpr
	for _, file := range files {
		ast.Inspect(file, func(node ast.Node) bool {
			if call, ok := node.(*ast.CallExpr); ok && calledName(call) == name && len(call.Args) == arguments {
				calls = append(calls, call)
			}
			return true
		})
	}
	return calls
}

// scanner collects the metrics of one package.
type scanner struct {
	fset      *token.FileSet
	constants map[string]ast.Expr
	// wrapped are labels that the current function adds to all its metrics, with prometheus.WrapRegistererWith.
	wrapped []string
	found   []metric
	errs    []error
}

func (s *scanner) visit(node ast.Node) bool {
	call, ok := node.(*ast.CallExpr)
	if !ok {
		return true
	}
	name := calledName(call)
	switch {
	case name == "WrapRegistererWith" && len(call.Args) == 2:
		s.wrapped = append(s.wrapped, s.keys(call.Args[0])...)
	case name == "NewDesc" && len(call.Args) == 4:
		text := s.text(call.Args[0])
		kind := "gauge"
		if strings.HasSuffix(text, "_total") {
			kind = "counter"
		}
		s.add(call, metric{text, kind, s.text(call.Args[1]), s.strings(call.Args[2])})
	case strings.HasPrefix(name, "New") && len(call.Args) > 0:
		s.options(call)
	}
	return true
}

// options adds the metric of a call such as NewCounterVec(prometheus.CounterOpts{...}, []string{...}).
func (s *scanner) options(call *ast.CallExpr) {
	literal, ok := call.Args[0].(*ast.CompositeLit)
	if !ok {
		return
	}
	selector, ok := literal.Type.(*ast.SelectorExpr)
	if !ok {
		return
	}
	kind, found := strings.CutSuffix(selector.Sel.Name, "Opts")
	if !found || !slices.Contains([]string{"Counter", "Gauge", "Histogram", "Summary"}, kind) {
		return
	}
	m := metric{kind: strings.ToLower(kind)}
	parts := map[string]string{}
	for _, element := range literal.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		switch key := pair.Key.(*ast.Ident).Name; key {
		case "Namespace", "Subsystem", "Name":
			parts[key] = s.text(pair.Value)
		case "Help":
			m.help = s.text(pair.Value)
		case "ConstLabels":
			m.labels = append(m.labels, s.keys(pair.Value)...)
		}
	}
	var names []string
	for _, key := range []string{"Namespace", "Subsystem", "Name"} {
		if parts[key] != "" {
			names = append(names, parts[key])
		}
	}
	m.name = strings.Join(names, "_")
	if strings.HasSuffix(calledName(call), "Vec") && len(call.Args) > 1 {
		m.labels = append(m.labels, s.strings(call.Args[1])...)
	}
	s.add(call, m)
}

// add adds a metric, or an error if it has no name or no help text.
func (s *scanner) add(node ast.Node, m metric) {
	if m.name == "" || m.help == "" {
		s.errs = append(
			s.errs,
			fmt.Errorf("%s: the name and the help text of a metric must be constants and not empty",
				s.fset.Position(node.Pos())),
		)
		return
	}
	m.labels = slices.Concat(s.wrapped, m.labels)
	s.found = append(s.found, m)
}

// text returns the value of a constant expression of strings, or "".
func (s *scanner) text(expression ast.Expr) string {
	switch e := expression.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		if err != nil {
			return ""
		}
		return text
	case *ast.BinaryExpr:
		return s.text(e.X) + s.text(e.Y)
	case *ast.ParenExpr:
		return s.text(e.X)
	case *ast.Ident:
		if value, ok := s.constants[e.Name]; ok && value != expression {
			return s.text(value)
		}
	}
	return ""
}

// strings returns the elements of a slice of constant strings.
func (s *scanner) strings(expression ast.Expr) []string {
	if name, ok := expression.(*ast.Ident); ok && s.constants[name.Name] != nil {
		expression = s.constants[name.Name]
	}
	literal, ok := expression.(*ast.CompositeLit)
	if !ok {
		return nil
	}
	var all []string
	for _, element := range literal.Elts {
		all = append(all, s.text(element))
	}
	return all
}

// keys returns the constant keys of a map, which may be a variable.
func (s *scanner) keys(expression ast.Expr) []string {
	if name, ok := expression.(*ast.Ident); ok && s.constants[name.Name] != nil {
		expression = s.constants[name.Name]
	}
	literal, ok := expression.(*ast.CompositeLit)
	if !ok {
		return nil
	}
	var all []string
	for _, element := range literal.Elts {
		if pair, ok := element.(*ast.KeyValueExpr); ok {
			all = append(all, s.text(pair.Key))
		}
	}
	return all
}

// constantsOf returns the values of the constants and variables of a package, those of functions included.
func constantsOf(files []*ast.File) map[string]ast.Expr {
	values := map[string]ast.Expr{}
	for _, file := range files {
		ast.Inspect(file, func(node ast.Node) bool {
			switch n := node.(type) {
			case *ast.ValueSpec:
				for i, name := range n.Names {
					if i < len(n.Values) {
						values[name.Name] = n.Values[i]
					}
				}
			case *ast.AssignStmt:
				for i, left := range n.Lhs {
					if name, ok := left.(*ast.Ident); ok && n.Tok == token.DEFINE && len(n.Rhs) == len(n.Lhs) {
						if literal, ok := n.Rhs[i].(*ast.CompositeLit); ok {
							values[name.Name] = literal
						}
					}
				}
			}
			return true
		})
	}
	return values
}

// calledName returns the name of the called function, without its package.
func calledName(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		return f.Sel.Name
	case *ast.Ident:
		return f.Name
	}
	return ""
}
