// Package v1 holds the API group io.confluent.csid/v1: KafkaConnector, one
// connector whose tasks each run in a pod of their own, and KafkaConnect, the
// defaults and the shared volume of the connectors that refer to it.
//
// The group and the fields of KafkaConnector that have no comment naming another
// origin are those of seed 001, so that its manifests apply unchanged.
//
// +k8s:deepcopy-gen=package
// +k8s:openapi-gen=true
// +groupName=io.confluent.csid
package v1
