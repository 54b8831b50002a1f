// Command language fails on words that the project has replaced with standard terms. It checks every text file of the
// repository: code, comments, messages, manifests, dashboards and documents, and the names of files.
package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/weir-dev/weir/scripts/internal/check"
)

// skipped matches files that this command does not check: its own list and tests, text of others (licenses, checksums),
// and generated Go code, whose words come from apis/.
var skipped = regexp.MustCompile(
	`^scripts/cmd/language/|^scripts/verify-self-test$|^LICENSE$|(^|[/.])go\.(sum|mod)(\.txt)?$|/zz_generated\.|` +
		`^generated/.*\.go$|(^|/)testdata/fuzz/`,
)

func main() { os.Exit(check.Main("language", run)) }

func run(root string) ([]string, error) {
	checker := newChecker(terms)
	var findings []string
	err := check.Files(root, func(name string, data []byte) {
		if skipped.MatchString(name) {
			return
		}
		for _, t := range checker.find(name) {
			findings = append(findings, fmt.Sprintf("%s: file name contains %q; use: %s", name, t.words, t.use))
		}
		findings = append(findings, checker.inspect(name, data)...)
	})
	return findings, err
}

// checker holds the terms with their compiled patterns.
type checker []compiled

type compiled struct {
	term
	pattern *regexp.Regexp
}

func newChecker(terms []term) checker {
	var c checker
	for _, t := range terms {
		words := strings.ReplaceAll(regexp.QuoteMeta(t.words), `\*`, `[a-z]*`)
		c = append(c, compiled{t, regexp.MustCompile(`\b` + words + `\b`)})
	}
	return c
}

// inspect returns one finding for each term and line.
func (c checker) inspect(name string, data []byte) []string {
	if !check.IsText(data) {
		return nil
	}
	var findings []string
	for i, line := range strings.Split(string(data), "\n") {
		for _, t := range c.find(line) {
			findings = append(findings, fmt.Sprintf("%s:%d: %q; use: %s", name, i+1, t.words, t.use))
		}
	}
	return findings
}

// find returns the terms that a line contains.
func (c checker) find(line string) []term {
	prose, identifiers := normalize(line), strings.Join(identifiersOf(line), "\n")
	var found []term
	for _, t := range c {
		text := prose
		if t.identifier {
			text = identifiers
		}
		if !t.pattern.MatchString(text) {
			continue
		}
		if t.except != nil && t.except.MatchString(line) {
			continue
		}
		found = append(found, t.term)
	}
	return found
}

var (
	camelBoundary = regexp.MustCompile(`([a-z0-9])([A-Z])|([A-Z]+)([A-Z][a-z])`)
	separators    = regexp.MustCompile(`[^a-z]+`)
	identifier    = regexp.MustCompile(`[A-Za-z][A-Za-z0-9]*([_-][A-Za-z0-9]+)*`)
)

// normalize returns the words of a text in lower case, separated by one space. Identifiers are split into their words.
func normalize(text string) string {
	text = camelBoundary.ReplaceAllString(text, "$1$3 $2$4")
	return strings.TrimSpace(separators.ReplaceAllString(strings.ToLower(text), " "))
}

// identifiersOf returns the words of each identifier that has more than one word.
func identifiersOf(text string) []string {
	var found []string
	for _, name := range identifier.FindAllString(text, -1) {
		if words := normalize(name); strings.Contains(words, " ") && !slices.Contains(found, words) {
			found = append(found, words)
		}
	}
	return found
}
