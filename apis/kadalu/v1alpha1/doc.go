// Package v1alpha1 is the API group kadalu-operator.storage/v1alpha1. Its kind KadaluStorage describes a GlusterFS
// volume of an external cluster, in the format of kadalu's operator.
//
// +k8s:deepcopy-gen=package
// +k8s:openapi-gen=true
// +groupName=kadalu-operator.storage
// +groupGoName=Kadalu
package v1alpha1
