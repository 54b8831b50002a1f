// Package decide contains the rules of drain-cleaner as pure functions: whether a pod may be evicted, whether a claim
// on a cluster may be released, and what the status of a policy is. It has no client, no clock and does no I/O.
package decide

import (
	"cmp"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
)

// Manager is the name of the service: field manager, value of the label app.kubernetes.io/managed-by, lease.
const Manager = "drain-cleaner"

// Settings are the settings of Strimzi's Drain Cleaner. They apply to pods that no policy selects.
type Settings struct {
	// DrainKafka and DrainZooKeeper enable the pods that are handed to Strimzi's operator.
	DrainKafka, DrainZooKeeper bool
	// DenyEviction is false in legacy mode: evictions are allowed, and a PodDisruptionBudget has to prevent them.
	DenyEviction bool
	// Namespaces that are watched, also for policies. An empty list means all namespaces.
	Namespaces []string
	// RequireNodeCordoned rolls pods only if their node is cordoned or tainted.
	RequireNodeCordoned bool
	// ReplacementTimeout is the least time between two rolls of pods with the same name while nodes cannot be read.
	// DefaultPatience has the default.
	ReplacementTimeout time.Duration
}

func (s Settings) replacementTimeout() time.Duration {
	return cmp.Or(s.ReplacementTimeout, DefaultPatience.ReplacementTimeout)
}

// Request is the content of an AdmissionReview.
type Request struct {
	// Eviction is false if the object is not an Eviction of a known version.
	Eviction bool
	// Namespace and Name of the pod. They are empty if the review has none.
	Namespace, Name string
	// UID of the precondition, or empty.
	UID types.UID
	// DryRun reviews have no side effects.
	DryRun bool
}

// Pod is the part of a pod that decisions depend on.
type Pod struct {
	Namespace, Name string
	UID             types.UID
	Labels          map[string]string
	// RollRequested reports whether the annotation strimzi.io/manual-rolling-update is "true".
	RollRequested bool
	// DrainSince and DrainLast are the times of the first and last eviction request, from the annotation weir.dev/drain.
	// They are zero without the annotation.
	DrainSince, DrainLast time.Time
	// Attempts is the number of eviction requests, from the same annotation.
	Attempts    int32
	Node, IP    string
	Phase       corev1.PodPhase
	Terminating bool
	// ReadySince is when the pod became ready. It is zero while the pod is not ready.
	ReadySince time.Time
	// Claims are the names of the pod's PersistentVolumeClaims.
	Claims []string
}

// Node is the part of a node that decisions depend on.
type Node struct {
	Name string
	// Deleted nodes count as cordoned.
	Deleted bool
	// Forbidden: the service has no permission to read nodes, as with Strimzi's manifests. Nothing is known about the
	// node then, not even that it is not cordoned.
	Forbidden bool
	// Unschedulable is set by kubectl cordon and kubectl drain.
	Unschedulable bool
	// Tainted with NoSchedule or NoExecute.
	Tainted bool
}

// draining reports whether the node is known to be cordoned, tainted or deleted.
func (n Node) draining() bool { return n.Deleted || n.Unschedulable || n.Tainted }

// RecentEviction is an eviction of another pod with the same name.
type RecentEviction struct {
	// Node that the pod was on.
	Node string
	// At is when its eviction was last requested, or when it was deleted.
	At time.Time
}

// Need is an input that a decision lacks. The evaluator reads it and asks again.
type Need int

// Needs, in the order in which a decision asks for them.
const (
	// NeedNothing: the decision is final.
	NeedNothing Need = iota
	// NeedNamespace: whether the caches know of Kafka in the namespace. No request is made for it.
	NeedNamespace
	// NeedPod: the pod and the recent eviction of another pod with its name.
	NeedPod
	// NeedPolicies: the policies that select the pod.
	NeedPolicies
	// NeedNode: the pod's node, or the node that its predecessor was evicted from if the pod has no node.
	NeedNode
	// NeedVolumes: the pod's volumes that only its node can mount.
	NeedVolumes
	// NeedConnector: the KafkaConnector of the pod.
	NeedConnector
	// NeedKafka: the state of the Kafka cluster, at most two seconds old.
	NeedKafka
	// NeedHolders: the pods with a claim on the cluster.
	NeedHolders
	// NeedBudgets: the PodDisruptionBudgets that select the pod.
	NeedBudgets
	// NeedClaim: a claim on the cluster, and then the state of the cluster or connector again.
	NeedClaim
)

// State holds the inputs of a decision.
type State struct {
	Settings Settings
	Request  Request

	// WithoutKafka is true if synced caches show neither policies nor Strimzi's pods in the namespace.
	WithoutKafka Input[bool]
	// Pod is nil if it does not exist.
	Pod Input[*Pod]
	// Evicted is the recent eviction of another pod with the same name, or nil. It is read with the pod.
	Evicted *RecentEviction
	// Policies that select the pod, sorted by name.
	Policies Input[[]*drainv1alpha1.KafkaDrainPolicy]
	// Node of the pod.
	Node Input[Node]
	// Volumes are the pod's claims that only its node can mount.
	Volumes Input[[]string]
	// Connector is nil if it does not exist.
	Connector Input[*Connector]
	// Cluster is the state of the Kafka cluster.
	Cluster Input[*Cluster]
	// Holders have a claim on the cluster.
	Holders Input[[]Holder]
	// Budgets that select the pod.
	Budgets Input[[]Budget]
	// Claimed is true if the pod has a claim. Cluster, Connector and Holders were read after it was made.
	Claimed Input[bool]
}

// Decision is the answer to a review.
type Decision struct {
	// Need is the input to read first. The other fields are meaningless unless it is NeedNothing.
	Need Need
	// Live requires that the input is read past the caches.
	Live bool
	// Allow the eviction.
	Allow bool
	// NotFound denies with 404: the pod that was to be evicted no longer exists.
	NotFound bool
	// Reason and Message explain the answer.
	Reason  Reason
	Message string
	// Roll requests the annotation that hands the pod to its operator. It is false for a dry run.
	Roll bool
	// Record requests that the attempt is recorded on the pod. It is false for a dry run.
	Record bool
	// IgnoresDeadline denials are not overridden by spec.drainDeadline.
	IgnoresDeadline bool
	// NeedsAction denials do not resolve without an action of the user.
	NeedsAction bool
	// BrokerID is the Kafka node ID of the pod, if it is known and matters.
	BrokerID *int32
	// Blocking are the partitions that prevent the eviction.
	Blocking []string
	// Policy that the decision follows, or nil.
	Policy *drainv1alpha1.KafkaDrainPolicy
	// Observed is the decision that a policy of mode Observe would have made.
	Observed *Decision
	// Overdue drains are past their deadline.
	Overdue bool
}

// releases reports whether the pod may be gone after the answer: the eviction is allowed, or reported as done.
func (d Decision) releases() bool { return d.Need == NeedNothing && (d.Allow || d.NotFound) }

func allow(r Reason, message string) (Decision, bool) {
	return Decision{Allow: true, Reason: r, Message: message}, true
}

func deny(r Reason, message string) (Decision, bool) {
	return Decision{Reason: r, Message: message}, true
}

func need(n Need) (Decision, bool) { return Decision{Need: n}, true }

// pass leaves the decision to the next rule.
func pass() (Decision, bool) { return Decision{}, false }
