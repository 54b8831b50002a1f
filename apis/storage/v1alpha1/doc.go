// Package v1alpha1 is the API group storage.weir.dev/v1alpha1: local persistent volumes of Kafka brokers
// (KafkaLocalVolumeSet, LocalVolumeNode, VolumeWipe) and the sizes of volumes on GlusterFS (GlusterVolume).
//
// +k8s:deepcopy-gen=package
// +k8s:openapi-gen=true
// +groupName=storage.weir.dev
package v1alpha1
