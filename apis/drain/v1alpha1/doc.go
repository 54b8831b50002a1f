// Package v1alpha1 is the API group drain.weir.dev/v1alpha1. Its kind KafkaDrainPolicy controls the eviction of Kafka
// pods during node drains.
//
// +k8s:deepcopy-gen=package
// +k8s:openapi-gen=true
// +groupName=drain.weir.dev
package v1alpha1
