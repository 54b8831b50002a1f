package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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
