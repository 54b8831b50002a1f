package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// metric describes one metric family.
type metric struct {
	name, kind, help string
	labels           []string
}

// metricsPage lists the metrics that the code declares, per service. It also checks that alerts and dashboards use no
// other metric with the prefix weir_.
func metricsPage(root string, services []string) (string, error) {
	used := map[string][]string{} // by directory of the package
	own := map[string][]metric{}
	for _, service := range services {
		dirs, err := linkedPackages(root, service)
		if err != nil {
			return "", err
		}
		for _, dir := range dirs {
			if _, seen := own[dir]; !seen {
				if own[dir], err = metricsIn(filepath.Join(root, dir)); err != nil {
					return "", err
				}
			}
			used[dir] = append(used[dir], service)
		}
	}
	jvm, err := jvmMetrics(root)
	if err != nil {
		return "", err
	}
	var page strings.Builder
	page.WriteString(
		"# Metrics\n\nEach service serves its metrics at `/metrics` on the address of `--metrics-address`. " +
			"Generated from the code.\n\n" +
			"All services also export the metrics of the Go runtime (`go_*`) and of the process (`process_*`).\n",
	)
	known := map[string]bool{}
	section := func(title string, metrics []metric) {
		if len(metrics) == 0 {
			return
		}
		slices.SortFunc(metrics, func(a, b metric) int { return strings.Compare(a.name, b.name) })
		fmt.Fprintf(&page, "\n## %s\n\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n", title)
		for _, m := range metrics {
			known[m.name] = true
			fmt.Fprintf(
				&page,
				"| %s | %s | %s | %s |\n",
				code(m.name),
				m.kind,
				code(strings.Join(m.labels, ", ")),
				cell(sentence(m.help)),
			)
		}
	}
	shared := map[string][]metric{}
	for dir, metrics := range own {
		if within(dir, "pkg") && len(metrics) > 0 {
			users := strings.Join(used[dir], ", ")
			shared[users] = append(shared[users], metrics...)
		}
	}
	for _, users := range slices.Sorted(maps.Keys(shared)) {
		section("Common metrics of "+users, shared[users])
	}
	for _, service := range services {
		var metrics []metric
		for dir, found := range own {
			if within(dir, "services/"+service) {
				metrics = append(metrics, found...)
			}
		}
		section(service, metrics)
	}
	section("The JVM of connect-runner", jvm)
	return page.String(), checkUses(root, known)
}

func within(name, parent string) bool { return strings.HasPrefix(name+"/", parent+"/") }

// linkedPackages returns the directories of the repository's packages that are linked into the program of a service.
func linkedPackages(root, service string) ([]string, error) {
	dir := filepath.Join(root, "services", service)
	list := exec.Command("go", "list", "-deps", "-json=ImportPath", "./cmd/"+service)
	list.Dir = dir
	var stderr bytes.Buffer
	list.Stderr = &stderr
	output, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list the packages of %s: %w: %s", service, err, stderr.String())
	}
	var dirs []string
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var p struct{ ImportPath string }
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return dirs, nil
		} else if err != nil {
			return nil, err
		}
		if name, ours := strings.CutPrefix(p.ImportPath, prefix); ours && !within(name, "generated") {
			dirs = append(dirs, name)
		}
	}
}

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
			s.wrapped = nil
			ast.Inspect(declaration, s.visit)
		}
	}
	return s.found, errors.Join(s.errs...)
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
		if value, ok := s.constants[e.Name]; ok {
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

var (
	javaMetric = regexp.MustCompile(`"(weir_[a-z_]+)"`)
	metricName = regexp.MustCompile(`\bweir_[a-z_]+[a-z]\b`)
	suffixes   = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// jvmMetrics returns the metrics that the JVM part of connect-runner exports about itself.
func jvmMetrics(root string) ([]metric, error) {
	path := filepath.Join(root, "services/connect-runner/jvm/runner/src/main/java/dev/weir/connect/Metrics.java")
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []metric
	for _, match := range javaMetric.FindAllStringSubmatch(string(data), -1) {
		name := match[1]
		words := strings.ReplaceAll(strings.TrimPrefix(name, "weir_connect_runner_jvm_"), "_", " ")
		m := metric{name: name, kind: "gauge", labels: []string{"connector", "task"}, help: "JVM: " + words}
		if strings.HasSuffix(name, "_total") {
			m.kind = "counter"
		}
		found = append(found, m)
	}
	return found, nil
}

// checkUses returns an error for each metric of an alert or dashboard that the code does not declare.
func checkUses(root string, known map[string]bool) error {
	var errs []error
	for _, pattern := range []string{"deploy/alerts/*.yaml", "deploy/dashboards/*.json"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return err
		}
		for _, path := range files {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			names := metricName.FindAllString(string(data), -1)
			slices.Sort(names)
			for _, name := range slices.Compact(names) {
				if !known[name] && !known[suffixes.ReplaceAllString(name, "")] {
					errs = append(errs, fmt.Errorf("%s uses metric %s, which no service declares", path, name))
				}
			}
		}
	}
	return errors.Join(errs...)
}
