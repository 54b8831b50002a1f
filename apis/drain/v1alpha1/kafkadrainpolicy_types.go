package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// KafkaDrainPolicy says how the pods of a Kafka cluster may leave their nodes when these are drained: who is asked, what has to
// be in sync before, and what happens when that takes too long. Pods with Strimzi's labels that no policy selects get what
// Strimzi's Drain Cleaner does (seed 003).
//
// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=kafkadrainpolicies,shortName=kdp,categories=kafka
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.spec.role`,description="broker, controller or connect"
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`,description="Delegate, SelfCheck or Observe"
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

	// spec is what the user wants.
	// +required
	Spec KafkaDrainPolicySpec `json:"spec"`

	// status is what drain-cleaner sees; it is its only writer.
	// +optional
	Status KafkaDrainPolicyStatus `json:"status,omitempty,omitzero"`
}

// KafkaDrainPolicySpec is what the user wants of drains.
//
// +kubebuilder:validation:XValidation:rule="self.mode != 'SelfCheck' || self.role == 'connect' || has(self.bootstrapServers)",messageExpression="'spec.bootstrapServers is required with mode SelfCheck and role ' + self.role + ': name the brokers to ask, for example my-cluster-kafka-bootstrap:9092'"
// +kubebuilder:validation:XValidation:rule="!has(self.operatorDownAfter) || self.mode != 'SelfCheck'",message="spec.operatorDownAfter has no meaning with mode SelfCheck, which hands nothing to an operator: remove it"
// +kubebuilder:validation:XValidation:rule="self.onDeadline != 'Allow' || has(self.drainDeadline)",message="spec.onDeadline is Allow, but there is no deadline: set spec.drainDeadline, for example 30m, or remove onDeadline"
// +kubebuilder:validation:XValidation:rule="has(self.bootstrapServers) || !has(self.tls) && !has(self.sasl)",message="spec.tls and spec.sasl are for spec.bootstrapServers, which is empty: name the brokers, or remove them"
// +kubebuilder:validation:XValidation:rule="has(self.bootstrapServers) || !has(self.clusterName)",message="spec.clusterName is about the cluster of spec.bootstrapServers, which is empty: name the brokers, or remove it"
// +kubebuilder:validation:XValidation:rule="self.role != 'connect' || !has(self.bootstrapServers)",messageExpression="'spec.bootstrapServers ' + self.bootstrapServers + ' cannot be used with role connect, which reads KafkaConnector.status: remove it'"
// +kubebuilder:validation:XValidation:rule="self.role == 'broker' || self.minIsrHeadroom == 0",message="spec.minIsrHeadroom is for role broker only: remove it"
type KafkaDrainPolicySpec struct {
	// podSelector selects the pods of the policy's namespace that it is about. No two policies may select the same pod.
	// +required
	// +kubebuilder:validation:XValidation:rule="has(self.matchLabels) && self.matchLabels.size() > 0 || has(self.matchExpressions) && self.matchExpressions.size() > 0",message="spec.podSelector is empty, which would select every pod of the namespace: name a label, for example matchLabels: {app: kafka}"
	PodSelector metav1.LabelSelector `json:"podSelector"`

	// role of the pods: broker (also combined KRaft nodes), controller (KRaft controllers alone), or connect (the pods of
	// KafkaConnectors).
	// +optional
	// +kubebuilder:default=broker
	Role Role `json:"role,omitempty"`

	// mode says who judges. Delegate asks an operator for the roll, by the annotation strimzi.io/manual-rolling-update, and denies
	// the eviction. SelfCheck asks Kafka itself, and allows the eviction once no partition feels it. Observe never denies, and
	// records what SelfCheck or, without bootstrapServers, Delegate would have said.
	// +optional
	// +kubebuilder:default=Delegate
	Mode Mode `json:"mode,omitempty"`

	// bootstrapServers of the cluster as host:port, separated by commas. Needed with SelfCheck; with Delegate it is what
	// operatorDownAfter falls back on. Short names, such as kafka and kafka-0.kafka, are taken for those of the policy's namespace
	// first, also where brokers advertise them.
	// +optional
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^ *[^ ,:]+(:[^ ,:]+)*:[0-9]{1,5} *(, *[^ ,:]+(:[^ ,:]+)*:[0-9]{1,5} *)*$')",messageExpression="'spec.bootstrapServers ' + self + ' is not a list of host:port: write for example kafka-0.kafka:9092,kafka-1.kafka:9092'"
	BootstrapServers string `json:"bootstrapServers,omitempty"`

	// clusterName tells the cluster from another one whose brokers say the same cluster id, as when both were formatted by one
	// manifest: without it the drains of the two wait for each other. Policies about one cluster have to give the same name; change it
	// only while nothing drains.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClusterName string `json:"clusterName,omitempty"`

	// tls makes the connection to the brokers a TLS one.
	// +optional
	TLS *TLS `json:"tls,omitempty"`

	// sasl logs in to the brokers.
	// +optional
	SASL *SASL `json:"sasl,omitempty"`

	// brokerId says how the Kafka node id of a pod is told; by the number at the end of its name where it is left out.
	// +optional
	BrokerID *BrokerID `json:"brokerId,omitempty"`

	// maxConcurrent is how many pods of one Kafka cluster may be away at the same time because of drains.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:XValidation:rule="self >= 1 && self <= 32",message="spec.maxConcurrent must be from 1 to 32"
	MaxConcurrent int32 `json:"maxConcurrent,omitempty"`

	// requireNodeCordoned lets a pod be rolled only while its node is unschedulable, or tainted NoSchedule or NoExecute, so that
	// a forged review changes nothing on a healthy node.
	// +optional
	// +kubebuilder:default=true
	RequireNodeCordoned *bool `json:"requireNodeCordoned,omitempty"`

	// minIsrHeadroom is how many replicas more than min.insync.replicas have to stay in sync, as far as the replication factor
	// of a partition has room for it.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:XValidation:rule="self >= 0 && self <= 10",message="spec.minIsrHeadroom must be from 0 to 10"
	MinISRHeadroom int32 `json:"minIsrHeadroom"`

	// drainDeadline is how long, from the first denied eviction of a pod, denials go on before onDeadline is asked; without it
	// they go on for as long as it takes.
	// +optional
	// +kubebuilder:validation:Format=duration
	// +kubebuilder:validation:XValidation:rule="self >= duration('1s')",message="spec.drainDeadline must be at least 1s"
	DrainDeadline *metav1.Duration `json:"drainDeadline,omitempty"`

	// onDeadline is Deny, which goes on denying and reports the drain as blocked, or Allow, which lets the pod go whatever Kafka says.
	// +optional
	// +kubebuilder:default=Deny
	OnDeadline DeadlineAction `json:"onDeadline,omitempty"`

	// operatorDownAfter is how long an operator has to act on the annotation before the drain goes on as in mode SelfCheck,
	// where there are bootstrapServers; 5m where it is left out.
	// +optional
	// +kubebuilder:validation:Format=duration
	// +kubebuilder:validation:XValidation:rule="self >= duration('1s')",message="spec.operatorDownAfter must be at least 1s"
	OperatorDownAfter *metav1.Duration `json:"operatorDownAfter,omitempty"`

	// localVolumePolicy is about pods whose volume ties them to their node, so that they cannot come back before the node does:
	// AllowPending lets them go and wait, Deny keeps them.
	// +optional
	// +kubebuilder:default=AllowPending
	LocalVolumePolicy LocalVolumePolicy `json:"localVolumePolicy,omitempty"`
}

// Role is what the pods of a policy do.
// +kubebuilder:validation:Enum=broker;controller;connect
type Role string

// The roles.
const (
	// RoleBroker is a broker, or a combined KRaft node.
	RoleBroker Role = "broker"
	// RoleController is a KRaft controller alone.
	RoleController Role = "controller"
	// RoleConnect is the connector or a task of a KafkaConnector.
	RoleConnect Role = "connect"
)

// Mode is who judges a drain.
// +kubebuilder:validation:Enum=Delegate;SelfCheck;Observe
type Mode string

// The modes.
const (
	// ModeDelegate asks an operator for the roll, and denies the eviction.
	ModeDelegate Mode = "Delegate"
	// ModeSelfCheck asks Kafka itself, and allows the eviction once no partition feels it.
	ModeSelfCheck Mode = "SelfCheck"
	// ModeObserve never denies, and records what would have been said.
	ModeObserve Mode = "Observe"
)

// DeadlineAction is what happens when a drain has lasted for longer than it may.
// +kubebuilder:validation:Enum=Deny;Allow
type DeadlineAction string

// The deadline actions.
const (
	// OnDeadlineDeny goes on denying, and reports the drain as blocked.
	OnDeadlineDeny DeadlineAction = "Deny"
	// OnDeadlineAllow lets the pod go, whatever Kafka says.
	OnDeadlineAllow DeadlineAction = "Allow"
)

// LocalVolumePolicy is what happens to a pod that can come back to its own node only.
// +kubebuilder:validation:Enum=AllowPending;Deny
type LocalVolumePolicy string

// The local volume policies.
const (
	// LocalVolumeAllowPending lets the pod go; it is Pending until its node is back.
	LocalVolumeAllowPending LocalVolumePolicy = "AllowPending"
	// LocalVolumeDeny keeps the pod.
	LocalVolumeDeny LocalVolumePolicy = "Deny"
)

// TLS is how the brokers are trusted, and how they know the client.
type TLS struct {
	// caSecret holds the certificates, in PEM, of who signed those of the brokers; the system's where it is left out.
	// +optional
	CASecret *SecretKey `json:"caSecret,omitempty"`

	// clientSecret holds tls.crt and tls.key, the client's own certificate.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClientSecret string `json:"clientSecret,omitempty"`

	// serverName that the brokers' certificates are checked against, where it is not the host that they are reached by.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ServerName string `json:"serverName,omitempty"`
}

// SecretKey is a key of a Secret of the policy's namespace.
type SecretKey struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// key in the Secret.
	// +optional
	// +kubebuilder:default=ca.crt
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// SASL is a login by name and password.
type SASL struct {
	// mechanism of the brokers' listener.
	// +required
	// +kubebuilder:validation:Enum=PLAIN;SCRAM-SHA-256;SCRAM-SHA-512
	Mechanism string `json:"mechanism"`

	// secret of the policy's namespace that holds the keys username and password.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Secret string `json:"secret"`
}

// BrokerID is how the Kafka node id of a pod is told.
//
// +kubebuilder:validation:XValidation:rule="(self.from == 'Label') == has(self.label)",messageExpression="'spec.brokerId.label goes with from: Label, and only with it; from is ' + self.from"
// +kubebuilder:validation:XValidation:rule="self.from == 'Ordinal' || !has(self.offset)",messageExpression="'spec.brokerId.offset goes with from: Ordinal; from is ' + self.from"
type BrokerID struct {
	// from is Ordinal, the number at the end of the pod's name plus offset; Label, the value of the label; or AdvertisedListener,
	// the broker whose advertised host is the pod's name, its address, or a host name that starts with its name.
	// +optional
	// +kubebuilder:default=Ordinal
	From BrokerIDSource `json:"from,omitempty"`

	// label that holds the id.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Label string `json:"label,omitempty"`

	// offset is added to the number at the end of the pod's name.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= -1000000 && self <= 1000000",message="spec.brokerId.offset must be from -1000000 to 1000000"
	Offset *int32 `json:"offset,omitempty"`
}

// BrokerIDSource is where the Kafka node id of a pod is found.
// +kubebuilder:validation:Enum=Ordinal;Label;AdvertisedListener
type BrokerIDSource string

// The sources of a node id.
const (
	// BrokerIDOrdinal is the number at the end of the pod's name, plus offset.
	BrokerIDOrdinal BrokerIDSource = "Ordinal"
	// BrokerIDLabel is the value of the pod's label.
	BrokerIDLabel BrokerIDSource = "Label"
	// BrokerIDAdvertisedListener is the broker that advertises the pod's name or address, or a host name that starts with its name.
	BrokerIDAdvertisedListener BrokerIDSource = "AdvertisedListener"
)
