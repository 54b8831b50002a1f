package main

import (
	"strings"
	"testing"
)

func TestReleaseNotesAreTheSectionOfTheVersion(t *testing.T) {
	t.Parallel()
	const changelog = "# Changelog\n\n## [Unreleased]\n\n- new\n\n" +
		"## [0.2.0] - 2026-01-02\n\n- two\n\n## [0.1.0]\n\n- one\n"
	for name, test := range map[string]struct{ version, changelog, want, problem string }{
		"of a released version":           {"v0.2.0", changelog, "# Weir v0.2.0\n\n- two\n", ""},
		"of the oldest version":           {"v0.1.0", changelog, "# Weir v0.1.0\n\n- one\n", ""},
		"of a version without a section":  {"v0.3.0", changelog, "# Weir v0.3.0\n\n- new\n", ""},
		"of an empty section":             {"v0.3.0", "## [Unreleased]\n\n## [0.2.0]\n", "", "section Unreleased is empty"},
		"of a changelog without sections": {"v0.3.0", "# Changelog\n", "", "neither a section [0.3.0] nor"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := notes(test.version, test.changelog)
			if got != test.want || test.problem != "" && (err == nil || !strings.Contains(err.Error(), test.problem)) {
				t.Errorf("got %q, %v; want %q, %s", got, err, test.want, test.problem)
			}
		})
	}
}
