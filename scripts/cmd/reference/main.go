// Command reference writes the reference pages of generated/docs that describe the code: flags.md, metrics.md and
// reasons.md. A flag, metric or reason without a description is an error.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const prefix = "github.com/weir-dev/weir/"

func main() {
	root := flag.String("root", "..", "directory of the repository")
	out := flag.String("out", "", "directory to write to")
	flag.Parse()
	if err := run(*root, *out); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

func run(root, out string) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	services, err := servicesOf(root)
	if err != nil {
		return err
	}
	for _, page := range []struct {
		name string
		make func(root string, services []string) (string, error)
	}{{"reasons.md", reasonsPage}, {"metrics.md", metricsPage}, {"flags.md", flagsPage}} {
		text, err := page.make(root, services)
		if err != nil {
			return fmt.Errorf("%s: %w", page.name, err)
		}
		if err := os.WriteFile(filepath.Join(out, page.name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// servicesOf returns the names of the services.
func servicesOf(root string) ([]string, error) {
	modules, err := filepath.Glob(filepath.Join(root, "services", "*", "go.mod"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, module := range modules {
		names = append(names, filepath.Base(filepath.Dir(module)))
	}
	return names, nil
}

// cell returns the text for a cell of a Markdown table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(strings.TrimSpace(text))
}

// code returns a cell in code style, or an empty cell for an empty text.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
}

// sentence returns the text with an upper case first letter and a full stop at the end. A first word that is not plain
// text, such as worker.properties or tasks.max, keeps its case.
func sentence(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	first, _, _ := strings.Cut(text, " ")
	if strings.ToLower(first) == first && !strings.ContainsAny(first, ".-_/") {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}
