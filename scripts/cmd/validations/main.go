// Command validations prints the CEL validation rules of the CRDs as Markdown. crd-ref-docs, which writes the rest of
// the reference, omits them.
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
		fmt.Fprintln(os.Stderr, "validations:", err)
		os.Exit(1)
	}
}

func run(crds string, out io.Writer) error {
	files, err := filepath.Glob(filepath.Join(crds, "*", "*.yaml"))
	if err != nil {
		return err
	}
	fmt.Fprint(
		out,
		"\n## Validation rules\n\nThe API server also enforces these rules. In a message, … stands for a value.\n",
	)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(data, &crd); err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		// The directory also contains a kustomization.yaml.
		if crd.Kind == "CustomResourceDefinition" {
			section(&crd, out)
		}
	}
	return nil
}

// section prints the rules of one CRD.
func section(crd *apiextensionsv1.CustomResourceDefinition, out io.Writer) {
	for _, version := range crd.Spec.Versions {
		if version.Schema == nil || version.Schema.OpenAPIV3Schema == nil {
			continue
		}
		found := rulesOf("", version.Schema.OpenAPIV3Schema)
		if len(found) == 0 {
			continue
		}
		fmt.Fprintf(
			out,
			"\n### %s of %s/%s\n\n| field | message | rule (CEL) |\n| --- | --- | --- |\n",
			crd.Spec.Names.Kind,
			crd.Spec.Group,
			version.Name,
		)
		for _, r := range found {
			field := "(object)"
			if r.field != "" {
				field = "`" + r.field + "`"
			}
			fmt.Fprintf(out, "| %s | %s | `%s` |\n", field, escape(r.message), escape(r.rule))
		}
	}
}

// validation is a rule of a field, and the message for a value that breaks it.
type validation struct{ field, message, rule string }

// rulesOf returns the rules of a schema and of all schemas below it.
func rulesOf(field string, schema *apiextensionsv1.JSONSchemaProps) []validation {
	var found []validation
	for _, rule := range schema.XValidations {
		found = append(found, validation{strings.TrimPrefix(field, "."), message(rule), rule.Rule})
	}
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		child := schema.Properties[name]
		found = append(found, rulesOf(field+"."+name, &child)...)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		found = append(found, rulesOf(field+"[]", schema.Items.Schema)...)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		found = append(found, rulesOf(field+".*", schema.AdditionalProperties.Schema)...)
	}
	return found
}

var literal = regexp.MustCompile(`'((?:[^'\\]|\\.)*)'`)

// message returns the message of a rule. For a messageExpression it returns the string literals, with … for the rest.
func message(rule apiextensionsv1.ValidationRule) string {
	if rule.MessageExpression == "" {
		return rule.Message
	}
	var text strings.Builder
	end := 0
	for _, at := range literal.FindAllStringSubmatchIndex(rule.MessageExpression, -1) {
		if strings.Trim(rule.MessageExpression[end:at[0]], " +") != "" {
			text.WriteString("…")
		}
		text.WriteString(strings.NewReplacer(`\'`, `'`, `\\`, `\`).Replace(rule.MessageExpression[at[2]:at[3]]))
		end = at[1]
	}
	if strings.Trim(rule.MessageExpression[end:], " +") != "" {
		text.WriteString("…")
	}
	return text.String()
}

// escape returns the text for a cell of a Markdown table.
func escape(cell string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(cell)
}
