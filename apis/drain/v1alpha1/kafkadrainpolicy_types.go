package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// KafkaDrainPolicy controls when drain-cleaner allows the eviction of Kafka pods during a node drain: which component
// decides, which replicas must be in sync, and what happens after a deadline. Pods with Strimzi's labels that no policy
// selects are handled as by Strimzi's Drain Cleaner.
//
// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=kafkadrainpolicies,shortName=kdp,categories=kafka
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.spec.role`,description="broker, controller or connect"
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`,description="Delegate, SelfCheck or Observe"
// +kubebuilder:printcolumn:name="Pods",type=integer,JSONPath=`.status.pods`,description="number of selected pods"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Draining",type=string,JSONPath=`.status.conditions[?(@.type=="Draining")].status`
// +kubebuilder:printcolumn:name="Blocked",type=string,JSONPath=`.status.conditions[?(@.type=="Blocked")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Kafka",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="KafkaReachable")].status`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Blocked")].message`
type KafkaDrainPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the desired drain behavior.
	// +required
	Spec KafkaDrainPolicySpec `json:"spec"`

	// status is the observed state, written only by drain-cleaner.
	// +optional
	Status KafkaDrainPolicyStatus `json:"status,omitempty,omitzero"`
}

// KafkaDrainPolicySpec is the desired drain behavior.
//
// +kubebuilder:validation:XValidation:rule="self.mode != 'SelfCheck' || self.role == 'connect' || has(self.bootstrapServers)",messageExpression="'spec.bootstrapServers is required with mode SelfCheck and role ' + self.role + ': list the brokers to query, for example my-cluster-kafka-bootstrap:9092'"
// +kubebuilder:validation:XValidation:rule="!has(self.operatorDownAfter) || self.mode != 'SelfCheck'",message="spec.operatorDownAfter has no effect with mode SelfCheck, which does not use an operator: remove it"
// +kubebuilder:validation:XValidation:rule="self.onDeadline != 'Allow' || has(self.drainDeadline)",message="spec.onDeadline is Allow, but spec.drainDeadline is not set: set spec.drainDeadline, for example 30m, or remove onDeadline"
// +kubebuilder:validation:XValidation:rule="has(self.bootstrapServers) || !has(self.tls) && !has(self.sasl)",message="spec.tls and spec.sasl require spec.bootstrapServers: set spec.bootstrapServers, or remove them"
// +kubebuilder:validation:XValidation:rule="has(self.bootstrapServers) || !has(self.clusterName)",message="spec.clusterName requires spec.bootstrapServers: set spec.bootstrapServers, or remove clusterName"
// +kubebuilder:validation:XValidation:rule="self.role != 'connect' || !has(self.bootstrapServers)",messageExpression="'spec.bootstrapServers ' + self.bootstrapServers + ' cannot be used with role connect, which reads KafkaConnector.status: remove it'"
// +kubebuilder:validation:XValidation:rule="self.role == 'broker' || self.minIsrHeadroom == 0",message="spec.minIsrHeadroom requires role broker: remove it"
type KafkaDrainPolicySpec struct {
	// podSelector selects the pods in the policy's namespace. A pod must not be selected by more than one policy; policies
	// with mode Observe are exempt.
	// +required
	// +kubebuilder:validation:XValidation:rule="has(self.matchLabels) && self.matchLabels.size() > 0 || has(self.matchExpressions) && self.matchExpressions.size() > 0",message="spec.podSelector is empty, which would select every pod in the namespace: set a label, for example matchLabels: {app: kafka}"
	PodSelector metav1.LabelSelector `json:"podSelector"`

	// role of the pods: broker (also combined KRaft nodes), controller (dedicated KRaft controllers) or connect (connector
	// and task pods of KafkaConnectors).
	// +optional
	// +kubebuilder:default=broker
	Role Role `json:"role,omitempty"`

	// mode selects the component that decides. Delegate sets the annotation strimzi.io/manual-rolling-update, so that an
	// operator rolls the pod, and denies the eviction. SelfCheck queries Kafka and allows the eviction when no partition
	// drops below min.insync.replicas without the pod. Observe never denies; it reports the decision of SelfCheck or,
	// without bootstrapServers, of Delegate.
	// +optional
	// +kubebuilder:default=Delegate
	Mode Mode `json:"mode,omitempty"`

	// bootstrapServers is a comma-separated list of host:port. Required with SelfCheck. With Delegate, drain-cleaner
	// queries these brokers when the operator does not act within operatorDownAfter. Short names such as kafka or
	// kafka-0.kafka are resolved in the policy's namespace first; this also applies to advertised listeners.
	// +optional
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^ *[^ ,:]+(:[^ ,:]+)*:[0-9]{1,5} *(, *[^ ,:]+(:[^ ,:]+)*:[0-9]{1,5} *)*$')",messageExpression="'spec.bootstrapServers ' + self + ' is not a comma-separated list of host:port: use for example kafka-0.kafka:9092,kafka-1.kafka:9092'"
	BootstrapServers string `json:"bootstrapServers,omitempty"`

	// clusterName distinguishes two Kafka clusters that have the same cluster id, for example because both were formatted
	// from one manifest. Without it, drains of the two clusters wait for each other. All policies for one cluster must use
	// the same name. Do not change it during a drain.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClusterName string `json:"clusterName,omitempty"`

	// tls enables TLS for connections to the brokers.
	// +optional
	TLS *TLS `json:"tls,omitempty"`

	// sasl enables SASL authentication with the brokers.
	// +optional
	SASL *SASL `json:"sasl,omitempty"`

	// brokerId defines how the Kafka node id of a pod is derived. Default: the ordinal at the end of the pod name.
	// +optional
	BrokerID *BrokerID `json:"brokerId,omitempty"`

	// maxConcurrent is the maximum number of pods of one Kafka cluster that may be unavailable at the same time because of
	// drains.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:XValidation:rule="self >= 1 && self <= 32",message="spec.maxConcurrent must be from 1 to 32"
	MaxConcurrent int32 `json:"maxConcurrent,omitempty"`

	// requireNodeCordoned denies evictions, without rolling the pod, unless its node is unschedulable or has a NoSchedule
	// or NoExecute taint. A forged AdmissionReview then has no effect on a node that is not being drained.
	// +optional
	// +kubebuilder:default=true
	RequireNodeCordoned *bool `json:"requireNodeCordoned,omitempty"`

	// minIsrHeadroom is the number of replicas beyond min.insync.replicas that must stay in sync. It is limited to the
	// replication factor minus one.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:XValidation:rule="self >= 0 && self <= 10",message="spec.minIsrHeadroom must be from 0 to 10"
	MinISRHeadroom int32 `json:"minIsrHeadroom"`

	// drainDeadline is the time from the first denied eviction of a pod until onDeadline applies, for example 30m. Without
	// it, evictions are denied until they are safe.
	// +optional
	// +kubebuilder:validation:Format=duration
	// +kubebuilder:validation:XValidation:rule="self >= duration('1s')",message="spec.drainDeadline must be at least 1s"
	DrainDeadline *metav1.Duration `json:"drainDeadline,omitempty"`

	// onDeadline is the action after drainDeadline. Deny continues to deny and reports the drain as Blocked. Allow allows
	// the eviction even if partitions become unavailable.
	// +optional
	// +kubebuilder:default=Deny
	OnDeadline DeadlineAction `json:"onDeadline,omitempty"`

	// operatorDownAfter is the time that the operator has to act on the annotation. After it, drain-cleaner uses SelfCheck
	// if bootstrapServers is set, and denies with reason OperatorDown otherwise. Default: 5m.
	// +optional
	// +kubebuilder:validation:Format=duration
	// +kubebuilder:validation:XValidation:rule="self >= duration('1s')",message="spec.operatorDownAfter must be at least 1s"
	OperatorDownAfter *metav1.Duration `json:"operatorDownAfter,omitempty"`

	// localVolumePolicy applies to pods with a volume that only their current node can mount. AllowPending allows the
	// eviction; the replacement stays Pending until the node is schedulable again. Deny denies the eviction.
	// +optional
	// +kubebuilder:default=AllowPending
	LocalVolumePolicy LocalVolumePolicy `json:"localVolumePolicy,omitempty"`
}

// Role is the role of a policy's pods in the Kafka cluster.
// +kubebuilder:validation:Enum=broker;controller;connect
type Role string

// Roles.
const (
	// RoleBroker is a broker, or a combined KRaft node.
	RoleBroker Role = "broker"
	// RoleController is a dedicated KRaft controller.
	RoleController Role = "controller"
	// RoleConnect is a connector or task pod of a KafkaConnector.
	RoleConnect Role = "connect"
)

// Mode selects the component that decides about an eviction.
// +kubebuilder:validation:Enum=Delegate;SelfCheck;Observe
type Mode string

// Modes.
const (
	// ModeDelegate asks an operator to roll the pod, and denies the eviction.
	ModeDelegate Mode = "Delegate"
	// ModeSelfCheck queries Kafka, and allows the eviction when no partition or quorum is at risk.
	ModeSelfCheck Mode = "SelfCheck"
	// ModeObserve never denies, and reports the decision of another mode.
	ModeObserve Mode = "Observe"
)

// DeadlineAction is the action after spec.drainDeadline.
// +kubebuilder:validation:Enum=Deny;Allow
type DeadlineAction string

// Deadline actions.
const (
	// OnDeadlineDeny continues to deny, and reports the drain as Blocked.
	OnDeadlineDeny DeadlineAction = "Deny"
	// OnDeadlineAllow allows the eviction even if partitions become unavailable.
	OnDeadlineAllow DeadlineAction = "Allow"
)

// LocalVolumePolicy is the action for a pod with a volume that only its current node can mount.
// +kubebuilder:validation:Enum=AllowPending;Deny
type LocalVolumePolicy string

// Local volume policies.
const (
	// LocalVolumeAllowPending allows the eviction; the replacement is Pending until the node is schedulable.
	LocalVolumeAllowPending LocalVolumePolicy = "AllowPending"
	// LocalVolumeDeny denies the eviction.
	LocalVolumeDeny LocalVolumePolicy = "Deny"
)

// TLS configures the verification of broker certificates and the client certificate.
type TLS struct {
	// caSecret references the PEM certificates of the CAs that sign the brokers' certificates. Default: the system's CAs.
	// +optional
	CASecret *SecretKey `json:"caSecret,omitempty"`

	// clientSecret is the name of a Secret in the policy's namespace with the keys tls.crt and tls.key, the client
	// certificate.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClientSecret string `json:"clientSecret,omitempty"`

	// serverName is the host name to verify in the brokers' certificates. Default: the host of each connection.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ServerName string `json:"serverName,omitempty"`
}

// SecretKey references a key of a Secret in the policy's namespace.
type SecretKey struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// key of the Secret's data.
	// +optional
	// +kubebuilder:default=ca.crt
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// SASL configures authentication with a user name and password.
type SASL struct {
	// mechanism is the SASL mechanism of the brokers' listener.
	// +required
	// +kubebuilder:validation:Enum=PLAIN;SCRAM-SHA-256;SCRAM-SHA-512
	Mechanism string `json:"mechanism"`

	// secret is the name of a Secret in the policy's namespace with the keys username and password.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Secret string `json:"secret"`
}

// BrokerID defines how the Kafka node id of a pod is derived.
//
// +kubebuilder:validation:XValidation:rule="(self.from == 'Label') == has(self.label)",messageExpression="'spec.brokerId.label is required with from: Label and not allowed otherwise; from is ' + self.from"
// +kubebuilder:validation:XValidation:rule="self.from == 'Ordinal' || !has(self.offset)",messageExpression="'spec.brokerId.offset requires from: Ordinal; from is ' + self.from"
type BrokerID struct {
	// from is the source of the node id. Ordinal: the number at the end of the pod name, plus offset. Label: the value of
	// a pod label. AdvertisedListener: the id of the broker whose advertised host is the pod's IP or has the pod's name as
	// its first DNS label.
	// +optional
	// +kubebuilder:default=Ordinal
	From BrokerIDSource `json:"from,omitempty"`

	// label is the key of the pod label with the node id.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Label string `json:"label,omitempty"`

	// offset is added to the number at the end of the pod name.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= -1000000 && self <= 1000000",message="spec.brokerId.offset must be from -1000000 to 1000000"
	Offset *int32 `json:"offset,omitempty"`
}

// BrokerIDSource is the source of a pod's Kafka node id.
// +kubebuilder:validation:Enum=Ordinal;Label;AdvertisedListener
type BrokerIDSource string

// Sources of a node id.
const (
	// BrokerIDOrdinal is the number at the end of the pod name, plus offset.
	BrokerIDOrdinal BrokerIDSource = "Ordinal"
	// BrokerIDLabel is the value of a pod label.
	BrokerIDLabel BrokerIDSource = "Label"
	// BrokerIDAdvertisedListener is the id of the broker that advertises the pod's IP, or a host with the pod's name as
	// its first DNS label.
	BrokerIDAdvertisedListener BrokerIDSource = "AdvertisedListener"
)
