package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

// section is a part of the page.
type section struct {
	Title  string  `json:"title"`
	Claims []claim `json:"claims"`
}

// claim is a statement about the suite, with the command that tests it.
type claim struct {
	// ID names the file of the result, and the argument of -run.
	ID    string `json:"id"`
	Claim string `json:"claim"`
	// Command runs in the root directory of the repository.
	Command string `json:"command"`
	// Needs says what the command needs besides Go.
	Needs string `json:"needs,omitempty"`
	// Lines are regular expressions. The lines of the output that match one of them are the result.
	Lines []string `json:"lines"`
	// Tests are the files that contain the test, relative to the root directory.
	Tests []string `json:"tests"`
	// Notes follow the result: what limits it, and what is not tested.
	Notes string `json:"notes,omitempty"`
	// Plots are pictures in docs/proof.
	Plots []string `json:"plots,omitempty"`

	patterns []*regexp.Regexp
}

// readClaims reads and checks the claims.
func readClaims(file string) ([]section, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var sections []section
	if err := yaml.UnmarshalStrict(data, &sections); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	seen := map[string]bool{}
	for i := range sections {
		for j := range sections[i].Claims {
			c := &sections[i].Claims[j]
			switch {
			case !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(c.ID):
				return nil, fmt.Errorf("%s: id %q must have lower case letters, digits and hyphens only", file, c.ID)
			case seen[c.ID]:
				return nil, fmt.Errorf("%s: id %s is used twice; rename one", file, c.ID)
			case c.Claim == "" || c.Command == "" || len(c.Lines) == 0 || len(c.Tests) == 0:
				return nil, fmt.Errorf("%s: %s needs claim, command, lines and tests", file, c.ID)
			}
			seen[c.ID] = true
			for _, line := range c.Lines {
				pattern, err := regexp.Compile(line)
				if err != nil {
					return nil, fmt.Errorf("%s: lines of %s: %w", file, c.ID, err)
				}
				c.patterns = append(c.patterns, pattern)
			}
		}
	}
	return sections, nil
}

func find(sections []section, id string) (claim, error) {
	var known []string
	for _, s := range sections {
		for _, c := range s.Claims {
			if c.ID == id {
				return c, nil
			}
			known = append(known, c.ID)
		}
	}
	return claim{}, fmt.Errorf("unknown claim %q; the claims are: %s", id, strings.Join(known, ", "))
}

// logged matches the position that the testing package puts before a logged line.
var logged = regexp.MustCompile(`^\s+[a-z0-9_]+\.go:\d+: `)

// colored matches an escape sequence that sets a color.
var colored = regexp.MustCompile("\x1b\\[[0-9;]*m")

// figures returns the lines of an output that are the result, without the positions of tests and without colors.
func (c claim) figures(output string) ([]string, error) {
	var lines []string
	for line := range strings.Lines(output) {
		line = colored.ReplaceAllString(line, "")
		line = strings.TrimRight(logged.ReplaceAllString(line, ""), " \t\r\n")
		for _, pattern := range c.patterns {
			if pattern.MatchString(line) {
				lines = append(lines, line)
				break
			}
		}
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("no line of the output of %q matches %q: change lines in claims.yaml", c.Command, c.Lines)
	}
	return lines, nil
}
