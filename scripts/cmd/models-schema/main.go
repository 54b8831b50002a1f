// Command models-schema prints generated/openapi as an OpenAPI v2 document. applyconfiguration-gen reads from it how
// the lists and maps of our types merge.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/weir-dev/weir/generated/openapi"
)

func main() {
	if err := json.NewEncoder(os.Stdout).Encode(document()); err != nil {
		fmt.Fprintln(os.Stderr, "models-schema:", err)
		os.Exit(1)
	}
}

// document returns the models of all types.
func document() *spec.Swagger {
	ref := func(name string) spec.Ref {
		return spec.MustCreateRef("#/definitions/" + friendly(name))
	}
	definitions := spec.Definitions{}
	for name, definition := range openapi.GetOpenAPIDefinitions(ref) {
		definitions[friendly(name)] = asV2(definition.Schema)
	}
	return &spec.Swagger{SwaggerProps: spec.SwaggerProps{
		Swagger:     "2.0",
		Info:        &spec.Info{InfoProps: spec.InfoProps{Title: "Weir", Version: "unversioned"}},
		Definitions: definitions,
	}}
}

// friendly returns the name under which clients look up a type. Types of Kubernetes already have this form. Our types
// have the form of a Go import path.
func friendly(name string) string {
	if !strings.Contains(name, "/") {
		return name
	}
	return util.ToRESTFriendlyName(name)
}

// asV2 returns the v2 form of types such as IntOrString, which have a v2 and a v3 form.
func asV2(schema spec.Schema) spec.Schema {
	if v2, ok := schema.Extensions[common.ExtensionV2Schema].(spec.Schema); ok {
		return v2
	}
	return schema
}
