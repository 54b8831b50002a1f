package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const claims = `
- title: All services
  claims:
  - id: upgrade
    claim: An upgrade restarts nothing
    command: |-
      printf '    a_test.go:12: 7 \033[38;5;10m\033[1mobjects\033[0m are unchanged\nnoi%s\n' se
    lines: [objects are unchanged]
    tests: [e2e/a_test.go]
  - id: failing
    claim: Nothing is lost
    command: echo '3 lost'; exit 1
    lines: [lost]
    tests: [e2e/b_test.go]
  - id: never
    claim: This was never run
    command: "true"
    lines: [x]
    tests: [e2e/c_test.go]
`

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "claims.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPageHasTheLinesOfTheLastRunAndShowsFailedAndMissingRuns(t *testing.T) {
	t.Parallel()
	sections, err := readClaims(write(t, claims))
	if err != nil {
		t.Fatal(err)
	}
	results := t.TempDir()
	for _, id := range []string{"upgrade", "failing"} {
		c, err := find(sections, id)
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.run(t.Context(), t.TempDir())
		if (err != nil) != (id == "failing") {
			t.Fatalf("%s: %v", id, err)
		}
		r.Commit = "0123456789"
		if err := r.write(results, id); err != nil {
			t.Fatal(err)
		}
	}
	text, err := page(sections, results)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"```text\n7 objects are unchanged\n```",
		"| 0123456789 | passed |",
		"| 0123456789 | **failed** |",
		"```text\n3 lost\nexit status 1\n```",
		"| [This was never run](#never) | none | | not recorded |",
		"[a_test.go](../e2e/a_test.go)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if strings.Contains(text, "noise") {
		t.Errorf("a line that matches no expression is in\n%s", text)
	}
}

func TestClaimsAreChecked(t *testing.T) {
	t.Parallel()
	for problem, change := range map[string][2]string{
		"lower case":       {"id: upgrade", "id: Up grade"},
		"used twice":       {"id: failing", "id: upgrade"},
		"needs claim":      {"lines: [lost]", "lines: []"},
		"unknown field":    {"tests: [e2e/a_test.go]", "tests: [e2e/a_test.go]\n    other: x"},
		"lines of failing": {"[lost]", "['(']"},
	} {
		_, err := readClaims(write(t, strings.Replace(claims, change[0], change[1], 1)))
		if err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%s: %v", problem, err)
		}
	}
}

func TestRunsWithoutFiguresAreNotRecorded(t *testing.T) {
	t.Parallel()
	c := claim{ID: "x", Command: "echo nothing"}
	if _, err := c.run(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "no line") {
		t.Fatal(err)
	}
}

func TestCommandsFailInsteadOfSkippingTests(t *testing.T) {
	t.Setenv("CI", "")
	c := claim{ID: "x", Command: `test "$CI" = true`}
	if r, err := c.run(t.Context(), t.TempDir()); !r.Passed {
		t.Fatal(err)
	}
}

func TestResultsNeedAWorkTreeWithoutChanges(t *testing.T) {
	t.Parallel()
	if _, err := cleanCommit(t.Context(), t.TempDir()); err == nil {
		t.Fatal("a directory that is not a work tree has a commit")
	}
}

func TestRecordedLogWithAFailureIsAFailedRun(t *testing.T) {
	t.Parallel()
	root, results := t.TempDir(), t.TempDir()
	log := filepath.Join(root, "log")
	if err := os.MkdirAll(filepath.Join(root, "docs", "proof"), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		filepath.Join(root, "docs", "proof", "claims.yaml"): claims, log: "FAIL: 2 objects are unchanged\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := options{root: root, results: results, record: "upgrade", log: log, commit: "0123456789", date: "2026-01-31"}
	if err := o.main(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := readResult(results, "upgrade")
	if err != nil || r.Passed {
		t.Fatal(r, err)
	}
	o.date = "yesterday"
	if err := o.main(t.Context()); err == nil || !strings.Contains(err.Error(), "-date") {
		t.Fatal(err)
	}
}
