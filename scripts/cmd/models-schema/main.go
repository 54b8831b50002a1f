// Command models-schema prints the OpenAPI v2 document of generated/openapi: what applyconfiguration-gen needs to know how
// lists and maps of our types merge.
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

// friendly is the name that clients look a type up by. Kubernetes' own types already come with theirs; ours come as Go import paths.
func friendly(name string) string {
	if !strings.Contains(name, "/") {
		return name
	}
	return util.ToRESTFriendlyName(name)
}

// asV2 takes the v2 form that types such as IntOrString carry beside their v3 form.
func asV2(schema spec.Schema) spec.Schema {
	if v2, ok := schema.Extensions[common.ExtensionV2Schema].(spec.Schema); ok {
		return v2
	}
	return schema
}
