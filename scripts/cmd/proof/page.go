package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const introduction = `# What was tested, and with what result

This page is generated. Each claim names the command that tests it, the files with the test, and what the command
printed in its last recorded run: the lines are copied from its output. A run that failed is shown as failed, and a
claim without a run says so. "Passed" means that the command succeeded; a benchmark has no limit that it could exceed.
The machines are small and shared, so compare times only within one claim.

Run a command yourself, or record its result with ` + "`make proof-run CLAIMS=ID`" + ` in a work tree without
changes and write this page with ` + "`make proof`" + `. [limitations.md](limitations.md) lists what the services do
not do.

`

// page returns the text of docs/proof.md.
func page(sections []section, results string) (string, error) {
	var text, table strings.Builder
	table.WriteString("| claim | last run | commit | result |\n|---|---|---|---|\n")
	for _, s := range sections {
		fmt.Fprintf(&text, "\n## %s\n", s.Title)
		for _, c := range s.Claims {
			r, err := readResult(results, c.ID)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&table, "| [%s](#%s) | %s |\n", c.Claim, c.ID, r.summary())
			c.write(&text, r, filepath.Dir(results))
		}
	}
	return introduction + table.String() + text.String(), nil
}

// summary returns the last three columns of a row.
func (r *result) summary() string {
	switch {
	case r == nil:
		return "none | | not recorded"
	case !r.Passed:
		return r.Date + " | " + r.Commit + " | **failed**"
	}
	return r.Date + " | " + r.Commit + " | passed"
}

// write writes the paragraph of a claim, with the plots that exist in dir.
func (c claim) write(text *strings.Builder, r *result, dir string) {
	fmt.Fprintf(text, "\n### %s\n\n%s.\n\n- Command: `%s`", c.ID, strings.TrimSuffix(c.Claim, "."), c.Command)
	if c.Needs != "" {
		fmt.Fprintf(text, " (needs %s)", c.Needs)
	}
	tests := make([]string, len(c.Tests))
	for i, file := range c.Tests {
		tests[i] = fmt.Sprintf("[%s](../%s)", filepath.Base(file), file)
	}
	fmt.Fprintf(text, "\n- Test: %s\n", strings.Join(tests, ", "))
	if r == nil {
		text.WriteString("- No run is recorded.\n")
	} else {
		took := ""
		if r.Seconds > 0 {
			took = fmt.Sprintf(", %d s", r.Seconds)
		}
		outcome := "passed"
		if !r.Passed {
			outcome = "**failed**"
		}
		fmt.Fprintf(text, "- Last run: %s, commit %s, %s%s: %s\n\n```text\n%s\n```\n", r.Date, r.Commit, r.Machine, took,
			outcome, strings.Join(r.Lines, "\n"))
	}
	if c.Notes != "" {
		fmt.Fprintf(text, "\n%s\n", strings.TrimSpace(c.Notes))
	}
	for _, plot := range c.Plots {
		if _, err := os.Stat(filepath.Join(dir, plot)); err != nil {
			continue
		}
		fmt.Fprintf(text, "\n![%s](proof/%s)\n", strings.TrimSuffix(filepath.Base(plot), filepath.Ext(plot)), plot)
	}
}
