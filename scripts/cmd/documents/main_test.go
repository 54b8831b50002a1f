package main

import (
	"slices"
	"testing"
)

func TestReasonsThatTheGuideDoesNotContainAreFound(t *testing.T) {
	t.Parallel()
	const reference = "### Reasons of the condition Ready\n\n| value | meaning |\n| --- | --- |\n" +
		"| `Starting` | Pods start. |\n| `Failed` | A pod failed. |\n" +
		"### Reasons of events that are not reasons of conditions\n\n| `Scaled` | The number changed. |\n" +
		"### Reasons for which an eviction is allowed\n\n| `Safe` | No partition is affected. |\n" +
		"### Values of PodState\n\n| `Absent` | The pod does not exist. |\n"
	found := unexplained(reference, "| `Starting` | wait |\nFailed\n")
	want := []string{
		"docs/troubleshooting.md: reason Failed is missing (Reasons of the condition Ready: A pod failed.)",
	}
	if !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
}

func TestFlagsAndMetricsThatAReadmeDoesNotContainAreFound(t *testing.T) {
	t.Parallel()
	const page = "## one run\n\n| flag | type |\n| --- | --- |\n| `--log-level` | string |\n| `--size` | int |\n" +
		"## one check\n\n| `--size` | int |\n| `--size-limit` | int |\n" +
		"## two\n\n| `--log-level` | string |\n## three\n\n| `--log-level` | string |\n" +
		"## four\n\n| `--log-level` | string |\n"
	services := rowsOf(page)
	if want := []string{"--log-level", "--size", "--size-limit"}; !slices.Equal(services["one"], want) {
		t.Errorf("rows of one: %q, want %q", services["one"], want)
	}
	found := missingFrom("| `--size-limit` | maximum |", services["one"], services)
	if want := []string{"--size"}; !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
}

func TestFlagRowsOfAReadmeThatTheServiceDoesNotHaveAreFound(t *testing.T) {
	t.Parallel()
	const readme = "| `--size`, `--length` | limits |\n| `make` | runs `--other` |\nSet `--width`.\n"
	found := unknownIn(readme, []string{"--size", "--size-limit"})
	if want := []string{"--length"}; !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
}
