package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// heading is the heading of a version in a changelog: "## [0.1.0] - 2026-01-31" or "## [Unreleased]".
var heading = regexp.MustCompile(`(?m)^## \[v?([^\]]+)\].*$`)

// writeNotes writes RELEASE_NOTES.md.
func writeNotes(version, changelog, out string) error {
	data, err := os.ReadFile(changelog)
	if err != nil {
		return err
	}
	text, err := notes(version, string(data))
	if err != nil {
		return fmt.Errorf("%s: %w", changelog, err)
	}
	return os.WriteFile(filepath.Join(out, "RELEASE_NOTES.md"), []byte(text), 0o600)
}

// notes returns the section of a version. Before a release its changes are in the section Unreleased.
func notes(version, changelog string) (string, error) {
	headings := heading.FindAllStringSubmatchIndex(changelog, -1)
	for _, want := range []string{strings.TrimPrefix(version, "v"), "Unreleased"} {
		for i, at := range headings {
			if changelog[at[2]:at[3]] != want {
				continue
			}
			end := len(changelog)
			if i+1 < len(headings) {
				end = headings[i+1][0]
			}
			body := strings.TrimSpace(changelog[at[1]:end])
			if body == "" {
				return "", fmt.Errorf("the section %s is empty; describe the changes of %s in it", want, version)
			}
			return "# Weir " + version + "\n\n" + body + "\n", nil
		}
	}
	return "", fmt.Errorf("it has neither a section [%s] nor a section [Unreleased]", strings.TrimPrefix(version, "v"))
}
