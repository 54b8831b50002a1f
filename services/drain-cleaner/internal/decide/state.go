// Package decide holds all knowledge of drain-cleaner as pure functions: whether a pod may be evicted now, whether a claim on a
// cluster may be given back, and what the status of a policy says. No client, no clock, no I/O.
package decide

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
)

// Settings are the switches of Strimzi's Drain Cleaner, for pods that no policy selects.
type Settings struct {
	// DrainKafka and DrainZooKeeper say whose pods are handed to Strimzi's operator.
	DrainKafka, DrainZooKeeper bool
	// DenyEviction is false in legacy mode: evictions are allowed, and a PodDisruptionBudget is to hold them up.
	DenyEviction bool
	// Namespaces that are watched, for policies too; all where it is empty.
	Namespaces []string
	// RequireNodeCordoned lets pods be rolled only off nodes that are being drained.
	RequireNodeCordoned bool
}

// Request is what an AdmissionReview asks.
type Request struct {
	// Eviction is false for anything but an Eviction in a version that is understood.
	Eviction bool
	// Namespace and Name of the pod; empty where the review names none.
	Namespace, Name string
	// UID that the eviction is about; empty for any.
	UID types.UID
	// DryRun changes nothing.
	DryRun bool
}

// Pod is what has to be known of a pod.
type Pod struct {
	Namespace, Name string
	UID             types.UID
	Labels          map[string]string
	// RollRequested tells that the annotation strimzi.io/manual-rolling-update is "true".
	RollRequested bool
	// DrainSince is when its eviction was first asked for, DrainLast when last, from the annotation weir.dev/drain; zero where that
	// is missing.
	DrainSince, DrainLast time.Time
	// Attempts is the number of evictions asked for, from the same annotation.
	Attempts    int32
	Node, IP    string
	Phase       corev1.PodPhase
	Terminating bool
	// ReadySince is when the pod became ready; zero while it is not.
	ReadySince time.Time
	// Claims are the names of its PersistentVolumeClaims.
	Claims []string
}

// Node is what has to be known of a node.
type Node struct {
	Name string
	// Gone nodes count as cordoned.
	Gone bool
	// Hidden nodes may not be seen: the service has no more rights than Strimzi's.
	Hidden bool
	// Unschedulable, as kubectl cordon and drain make it.
	Unschedulable bool
	// Tainted NoSchedule or NoExecute.
	Tainted bool
}

// Need is something that a decision cannot do without. Asking for it again gets the same answer.
type Need int

// What may be needed, in the order in which it is asked for.
const (
	// NeedNothing: it is decided.
	NeedNothing Need = iota
	// NeedPod: the pod, and the policies that select it.
	NeedPod
	// NeedNode: the pod's node.
	NeedNode
	// NeedVolumes: which of the pod's volumes are tied to its node.
	NeedVolumes
	// NeedConnector: the KafkaConnector of the pod.
	NeedConnector
	// NeedKafka: the state of the cluster, not older than two seconds.
	NeedKafka
	// NeedHolders: who holds a claim on the cluster.
	NeedHolders
	// NeedClaim: a claim on the cluster, and then its state anew.
	NeedClaim
)

// State is what is known when a decision is made.
type State struct {
	Settings Settings
	Request  Request
	// Known tells which needs have been met.
	Known map[Need]bool

	// Failure is why a need other than NeedKafka could not be met; empty where all is well.
	Failure string

	// Pod is nil where there is none.
	Pod *Pod
	// Replaces tells that another pod of that name was told to leave a short while ago, and has left.
	Replaces bool
	// LeftNode is the node that it has left.
	LeftNode string
	// Policies are those that select the pod, by name.
	Policies []*drainv1alpha1.KafkaDrainPolicy
	// Node of the pod.
	Node Node
	// Pinned are the pod's volumes that can be mounted on its node only.
	Pinned []string
	// Connector is nil where there is none.
	Connector *Connector
	// Cluster is nil where Kafka did not answer; KafkaFault then says why.
	Cluster    *Cluster
	KafkaFault Fault
	// Holders of a claim on the cluster.
	Holders []Holder
	// Claimed tells that the pod holds a claim, and that Cluster, Connector and Holders are younger than it.
	Claimed bool
}

// Fault is why Kafka could not be asked, without secrets.
type Fault struct {
	Reason  Reason
	Message string
}

// Decision is the answer to a review.
type Decision struct {
	// Need is what has to be found out first; the rest is meaningless until it is NeedNothing.
	Need Need
	// Allow the eviction.
	Allow bool
	// Reason is the finding, Message its sentence for people.
	Reason  Reason
	Message string
	// Roll asks for the annotation that hands the pod to its operator. Never set for a dry run.
	Roll bool
	// Record asks for the attempt to be written down on the pod. Never set for a dry run.
	Record bool
	// Gone denies with 404: what was to leave has left.
	Gone bool
	// Final findings are not overridden by a deadline: somebody has to act first.
	Final bool
	// BrokerID is the Kafka node id of the pod, where it mattered and could be told.
	BrokerID *int32
	// Blocking are the partitions that keep the pod.
	Blocking []string
	// Policy that the decision follows; nil where none selects the pod.
	Policy *drainv1alpha1.KafkaDrainPolicy
	// Observed is the decision that a policy of mode Observe would have come to.
	Observed *Decision
	// Overdue tells that the drain is past its deadline.
	Overdue bool
}

func allow(r Reason, message string) (Decision, bool) {
	return Decision{Allow: true, Reason: r, Message: message}, true
}

func deny(r Reason, message string) (Decision, bool) {
	return Decision{Reason: r, Message: message}, true
}

func need(n Need) (Decision, bool) { return Decision{Need: n}, true }

var next = Decision{}
