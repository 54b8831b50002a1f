package main

import (
	"context"
	"errors"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

var errInvalid = errors.New("the API server would reject the CRD")

// validate validates a CRD as the API server does, including the compilation and the cost of its CEL rules.
func validate(data []byte) error {
	scheme := runtime.NewScheme()
	install.Install(scheme)

	var versioned apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(data, &versioned); err != nil {
		return err
	}
	scheme.Default(&versioned)
	var crd apiextensions.CustomResourceDefinition
	if err := scheme.Convert(&versioned, &crd, nil); err != nil {
		return err
	}
	for _, version := range crd.Spec.Versions {
		if version.Storage {
			crd.Status.StoredVersions = []string{version.Name}
		}
	}
	findings := []error{errInvalid}
	for _, err := range validation.ValidateCustomResourceDefinition(context.Background(), &crd) {
		findings = append(findings, err)
	}
	if len(findings) == 1 {
		return nil
	}
	return errors.Join(findings...)
}
