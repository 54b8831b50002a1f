// Command hygiene looks through the repository's files for what does not belong there.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	// maxLines is how long a source file may be that is not listed with a reason.
	maxLines = 400
	// maxBytes keeps programs and archives out of the repository.
	maxBytes = 1 << 20
	// longFiles lists the exceptions from maxLines: a path, a colon and the reason.
	longFiles = "scripts/long-files.txt"
)

var (
	generatedFile = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)
	sourceFile    = regexp.MustCompile(`(\.(go|java|sh|py)|^Makefile|^scripts/[a-z-]+|^\.ci/run)$`)
)

// habit is something that no line of a file may hold.
type habit struct {
	name    string
	pattern *regexp.Regexp
	advice  string
	except  *regexp.Regexp // files where it is no harm
}

var habits = []habit{
	{"a path of somebody's machine", regexp.MustCompile(`(^|[\s"'=(:\x60])/(home|root|Users|work)/[\w.]`), "use a relative path or one that is found at run time", regexp.MustCompile(`(^|/)Dockerfile$`)},
	{"the host of a package registry or proxy", regexp.MustCompile(`\b(proxy\.golang\.org|goproxy\.(io|cn)|repo1?\.maven\.(org|apache\.org)|repo\.maven\.apache\.org|registry\.npmjs\.org|(files\.)?pypi\.org)\b`), "the machine's own configuration names it", nil},
	{"a task left undone", regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`), "do it, or open an issue", nil},
	{"a conflict marker", regexp.MustCompile(`^(<{7}|>{7}) `), "resolve it", nil},
}

func main() {
	root := flag.String("root", "..", "directory of the repository")
	flag.Parse()

	findings, err := run(*root)
	if err != nil {
		fmt.Fprintln(os.Stderr, "hygiene:", err)
		os.Exit(1)
	}
	for _, finding := range findings {
		fmt.Fprintln(os.Stderr, finding)
	}
	if len(findings) > 0 {
		os.Exit(1)
	}
}

func run(root string) ([]string, error) {
	reasons, err := readReasons(filepath.Join(root, longFiles))
	if err != nil {
		return nil, err
	}
	names, err := tracked(root)
	if err != nil {
		return nil, err
	}
	var findings []string
	for _, name := range names {
		info, err := os.Lstat(filepath.Join(root, name))
		if errors.Is(err, os.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			continue
		}
		if err != nil {
			return nil, err
		}
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		findings = append(findings, inspect(name, data, reasons)...)
	}
	for name := range reasons {
		if !slices.Contains(names, name) {
			findings = append(findings, fmt.Sprintf("%s: lists %s, which is not there", longFiles, name))
		}
	}
	slices.Sort(findings)
	return findings, nil
}

// tracked lists what is in git and what would be added.
func tracked(root string) ([]string, error) {
	list := exec.Command("git", "ls-files", "-co", "--exclude-standard", "-z")
	list.Dir = root
	output, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	return strings.Split(strings.TrimSuffix(string(output), "\x00"), "\x00"), nil
}

func inspect(name string, data []byte, reasons map[string]string) []string {
	if len(data) > maxBytes {
		return []string{fmt.Sprintf("%s: %d bytes; build it, or fetch it, instead of keeping it", name, len(data))}
	}
	if bytes.IndexByte(data, 0) >= 0 || generatedFile.Match(data) {
		return nil
	}
	var findings []string
	lines := strings.Split(string(data), "\n")
	if len(lines)-1 > maxLines && sourceFile.MatchString(name) && reasons[name] == "" {
		findings = append(findings, fmt.Sprintf("%s: %d lines, more than %d; split it, or list it with a reason in %s", name, len(lines)-1, maxLines, longFiles))
	}
	for i, line := range lines {
		for _, h := range habits {
			if h.except != nil && h.except.MatchString(name) {
				continue
			}
			if match := h.pattern.FindString(line); match != "" {
				findings = append(findings, fmt.Sprintf("%s:%d: %q is %s; %s", name, i+1, strings.TrimSpace(match), h.name, h.advice))
			}
		}
	}
	return findings
}

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
