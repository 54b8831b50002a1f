package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	flags   = "generated/docs/flags.md"
	metrics = "generated/docs/metrics.md"
)

// common is the number of services from which a flag is a shared one, which a README does not repeat.
const common = 4

var name = regexp.MustCompile(`--[a-z][a-z-]*|weir_[a-z_]+`)

// undocumented returns a finding for each flag and metric that the README of its service does not contain, and for each
// row of a flag that the service does not have.
func undocumented(root string) ([]string, error) {
	services := map[string][]string{}
	for _, page := range []string{flags, metrics} {
		data, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			return nil, err
		}
		for service, names := range rowsOf(string(data)) {
			services[service] = append(services[service], names...)
		}
	}
	var found []string
	for service, names := range services {
		readme := filepath.Join("services", service, "README.md")
		data, err := os.ReadFile(filepath.Join(root, readme))
		if os.IsNotExist(err) {
			continue // The section of several services, or of a JVM.
		}
		if err != nil {
			return nil, err
		}
		for _, missing := range missingFrom(string(data), names, services) {
			found = append(found, fmt.Sprintf("%s: %s is missing", readme, missing))
		}
		for _, unknown := range unknownIn(string(data), names) {
			found = append(found, fmt.Sprintf("%s: %s has a row, but the service does not have it", readme, unknown))
		}
	}
	slices.Sort(found)
	return found, nil
}

// rowsOf returns the names in the first column of the tables of a page, by the first word of the heading above.
func rowsOf(page string) map[string][]string {
	rows := map[string][]string{}
	section := ""
	for line := range strings.Lines(page) {
		line = strings.TrimSuffix(line, "\n")
		if match := heading.FindStringSubmatch(line); match != nil {
			section, _, _ = strings.Cut(match[1], " ")
		}
		if match := row.FindStringSubmatch(line); match != nil && !slices.Contains(rows[section], match[1]) {
			rows[section] = append(rows[section], match[1])
		}
	}
	return rows
}

// missingFrom returns the names that a README does not contain, without those that at least common services have.
func missingFrom(readme string, names []string, services map[string][]string) []string {
	documented := name.FindAllString(readme, -1)
	var missing []string
	for _, n := range names {
		having := 0
		for _, others := range services {
			if slices.Contains(others, n) {
				having++
			}
		}
		if having < common && !slices.Contains(documented, n) {
			missing = append(missing, n)
		}
	}
	return missing
}

// unknownIn returns the flags in the first column of a README's tables that are not among the names.
func unknownIn(readme string, names []string) []string {
	var unknown []string
	for line := range strings.Lines(readme) {
		if !strings.HasPrefix(line, "| `--") {
			continue
		}
		first, _, _ := strings.Cut(line[1:], "|")
		for _, flag := range name.FindAllString(first, -1) {
			if !slices.Contains(names, flag) {
				unknown = append(unknown, flag)
			}
		}
	}
	return unknown
}
