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

var errRefused = errors.New("an API server would refuse it")

// validate says about a CRD what an API server would: that its rules compile, and what they may cost.
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
	refusals := []error{errRefused}
	for _, err := range validation.ValidateCustomResourceDefinition(context.Background(), &crd) {
		refusals = append(refusals, err)
	}
	if len(refusals) == 1 {
		return nil
	}
	return errors.Join(refusals...)
}
