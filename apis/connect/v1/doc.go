// Package v1 contains the API group io.confluent.csid/v1. KafkaConnector runs one connector, with each task in its own
// pod. KafkaConnect has the defaults and the shared volume of the KafkaConnectors that refer to it.
//
// Manifests of the csid Connect operator for KafkaConnector apply unchanged.
//
// +k8s:deepcopy-gen=package
// +k8s:openapi-gen=true
// +groupName=io.confluent.csid
package v1
