// Command documents fails if docs/troubleshooting.md does not explain a reason that users see, and if the README of a
// service lacks a flag or a metric, or has a row of a flag that the service does not have.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/weir-dev/weir/scripts/internal/check"
)

const (
	reasons         = "generated/docs/reasons.md"
	troubleshooting = "docs/troubleshooting.md"
)

func main() { os.Exit(check.Main("documents", run)) }

func run(root string) ([]string, error) {
	reference, err := os.ReadFile(filepath.Join(root, reasons))
	if err != nil {
		return nil, err
	}
	guide, err := os.ReadFile(filepath.Join(root, troubleshooting))
	if err != nil {
		return nil, err
	}
	missing, err := undocumented(root)
	return append(unexplained(string(reference), string(guide)), missing...), err
}

var (
	heading = regexp.MustCompile(`^#+ (.*)$`)
	row     = regexp.MustCompile("^\\| `([^`]+)` \\| (.*) \\|$")
	// withoutAction are the groups of reasons that need no explanation: they report success.
	withoutAction = regexp.MustCompile(`of (the )?events|is allowed$`)
)

// unexplained returns a finding for each reason of the reference that the guide does not contain.
func unexplained(reference, guide string) []string {
	var found []string
	title := ""
	for line := range strings.Lines(reference) {
		line = strings.TrimSuffix(line, "\n")
		if match := heading.FindStringSubmatch(line); match != nil {
			title = match[1]
		}
		match := row.FindStringSubmatch(line)
		if match == nil || !strings.HasPrefix(title, "Reasons") || withoutAction.MatchString(title) {
			continue
		}
		if !strings.Contains(guide, "`"+match[1]+"`") {
			found = append(found, fmt.Sprintf("%s: reason %s is missing (%s: %s)", troubleshooting, match[1], title, match[2]))
		}
	}
	return found
}
