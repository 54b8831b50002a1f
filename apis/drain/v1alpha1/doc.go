// Package v1alpha1 holds the API group drain.weir.dev/v1alpha1: KafkaDrainPolicy, which says how the pods of a Kafka
// cluster may leave their nodes.
//
// +k8s:deepcopy-gen=package
// +k8s:openapi-gen=true
// +groupName=drain.weir.dev
package v1alpha1
