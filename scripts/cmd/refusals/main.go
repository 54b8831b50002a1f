// Command refusals prints, as Markdown, what the API server refuses because of the rules in CRDs: a part of their reference that the
// generator of the rest leaves out.
package main

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	crds := flag.String("crds", "", "directory of the CRDs, one directory for each group")
	flag.Parse()
	if err := run(*crds, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "refusals:", err)
		os.Exit(1)
	}
}

func run(crds string, out io.Writer) error {
	files, err := filepath.Glob(filepath.Join(crds, "*", "*.yaml"))
	if err != nil {
		return err
	}
	fmt.Fprint(out, "\n## What the API server refuses\n\nBeyond the validation above, with these words; … stands for the value.\n")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(data, &crd); err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		// A kustomization lies beside them.
		if crd.Kind == "CustomResourceDefinition" {
			section(&crd, out)
		}
	}
	return nil
}

func section(crd *apiextensionsv1.CustomResourceDefinition, out io.Writer) {
	for _, version := range crd.Spec.Versions {
		if version.Schema == nil || version.Schema.OpenAPIV3Schema == nil {
			continue
		}
		found := refusals("", version.Schema.OpenAPIV3Schema)
		if len(found) == 0 {
			continue
		}
		fmt.Fprintf(out, "\n### %s of %s/%s\n\n| field | refused with | where this does not hold |\n| --- | --- | --- |\n", crd.Spec.Names.Kind, crd.Spec.Group, version.Name)
		for _, r := range found {
			field := "the object"
			if r.field != "" {
				field = "`" + r.field + "`"
			}
			fmt.Fprintf(out, "| %s | %s | `%s` |\n", field, escape(r.words), escape(r.rule))
		}
	}
}

// refusal is a rule of a field, and the words that name what breaks it.
type refusal struct{ field, words, rule string }

func refusals(field string, schema *apiextensionsv1.JSONSchemaProps) []refusal {
	var found []refusal
	for _, rule := range schema.XValidations {
		found = append(found, refusal{strings.TrimPrefix(field, "."), words(rule), rule.Rule})
	}
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		child := schema.Properties[name]
		found = append(found, refusals(field+"."+name, &child)...)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		found = append(found, refusals(field+"[]", schema.Items.Schema)...)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		found = append(found, refusals(field+".*", schema.AdditionalProperties.Schema)...)
	}
	return found
}

var literal = regexp.MustCompile(`'((?:[^'\\]|\\.)*)'`)

// words are the message of a rule; of one that is made by an expression, what the expression says for sure.
func words(rule apiextensionsv1.ValidationRule) string {
	if rule.MessageExpression == "" {
		return rule.Message
	}
	var said strings.Builder
	end := 0
	for _, at := range literal.FindAllStringSubmatchIndex(rule.MessageExpression, -1) {
		if strings.Trim(rule.MessageExpression[end:at[0]], " +") != "" {
			said.WriteString("…")
		}
		said.WriteString(strings.NewReplacer(`\'`, `'`, `\\`, `\`).Replace(rule.MessageExpression[at[2]:at[3]]))
		end = at[1]
	}
	if strings.Trim(rule.MessageExpression[end:], " +") != "" {
		said.WriteString("…")
	}
	return said.String()
}

// escape keeps a table's cell together.
func escape(cell string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(cell)
}
