// Command hygiene fails on text that must not be in the repository: machine-specific paths, registry hosts, open
// tasks and conflict markers. It also fails on files that are too long or too large, and on long lines of Java.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/weir-dev/weir/scripts/internal/check"
)

const (
	// maxLines is the maximum length of a source file, unless longFiles lists it.
	maxLines = 400
	// maxColumns is the maximum length of a line of Java. The linter checks the lines of Go.
	maxColumns = 120
	// maxBytes is the maximum size of a file. It excludes programs and archives.
	maxBytes = 1 << 20
	// longFiles lists the exceptions from maxLines: path, colon, reason.
	longFiles = "scripts/long-files.txt"
)

var (
	generatedFile = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)
	sourceFile    = regexp.MustCompile(`(\.(go|java|sh|py)|^Makefile|^scripts/[a-z-]+|^\.ci/run)$`)
)

// mistake is a pattern that no line of a file may match.
type mistake struct {
	name    string
	pattern *regexp.Regexp
	advice  string
	except  *regexp.Regexp // files that the pattern does not apply to; may be nil
}

var mistakes = []mistake{
	{
		"a path of one machine",
		regexp.MustCompile(`(^|[\s"'=(:\x60])/(home|root|Users|work)/[\w.]`),
		"use a relative path, or find the path at run time",
		regexp.MustCompile(`(^|/)Dockerfile$`),
	},
	{
		"the host of a package registry or proxy",
		regexp.MustCompile(
			`\b(proxy\.golang\.org|goproxy\.(io|cn)|repo1?\.maven\.(org|apache\.org)|repo\.maven\.apache\.org|` +
				`registry\.npmjs\.org|(files\.)?pypi\.org)\b`,
		),
		"configure it on the machine",
		nil,
	},
	{"an open task", regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`), "complete it, or open an issue", nil},
	{"a conflict marker", regexp.MustCompile(`^(<{7}|>{7}) `), "resolve the conflict", nil},
}

func main() { os.Exit(check.Main("hygiene", run)) }

func run(root string) ([]string, error) {
	reasons, err := readReasons(filepath.Join(root, longFiles))
	if err != nil {
		return nil, err
	}
	var findings []string
	missing := maps.Clone(reasons)
	err = check.Files(root, func(name string, data []byte) {
		delete(missing, name)
		findings = append(findings, inspect(name, data, reasons)...)
	})
	for name := range missing {
		findings = append(findings, fmt.Sprintf("%s: lists %s, which does not exist", longFiles, name))
	}
	slices.Sort(findings)
	return findings, err
}

// inspect returns the findings for one file.
func inspect(name string, data []byte, reasons map[string]string) []string {
	if len(data) > maxBytes {
		return []string{fmt.Sprintf("%s: %d bytes; build it or download it instead", name, len(data))}
	}
	if !check.IsText(data) || generatedFile.Match(data) {
		return nil
	}
	var findings []string
	lines := strings.Split(string(data), "\n")
	if len(lines)-1 > maxLines && sourceFile.MatchString(name) && reasons[name] == "" {
		findings = append(
			findings,
			fmt.Sprintf(
				"%s: %d lines, more than %d; split it, or list it with a reason in %s",
				name,
				len(lines)-1,
				maxLines,
				longFiles,
			),
		)
	}
	for i, line := range lines {
		if columns := utf8.RuneCountInString(line); columns > maxColumns && filepath.Ext(name) == ".java" {
			findings = append(findings,
				fmt.Sprintf("%s:%d: %d columns, more than %d; break the line", name, i+1, columns, maxColumns))
		}
		for _, m := range mistakes {
			if m.except != nil && m.except.MatchString(name) {
				continue
			}
			if match := m.pattern.FindString(line); match != "" {
				findings = append(
					findings,
					fmt.Sprintf("%s:%d: %q is %s; %s", name, i+1, strings.TrimSpace(match), m.name, m.advice),
				)
			}
		}
	}
	return findings
}

// readReasons returns the reason for each file that longFiles lists.
func readReasons(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	reasons := map[string]string{}
	for scanner := bufio.NewScanner(bytes.NewReader(data)); scanner.Scan(); {
		line := scanner.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, found := strings.Cut(line, ": ")
		if !found || strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("%s: %q gives no reason", longFiles, line)
		}
		reasons[name] = reason
	}
	return reasons, nil
}
