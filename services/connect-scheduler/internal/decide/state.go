package decide

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/pkg/apply"
)

// Manager is connect-scheduler's field manager, and the value of app.kubernetes.io/managed-by on all that it makes.
const Manager = "connect-scheduler"

// State is all that a decision about one KafkaConnector depends on. Objects that do not exist are nil.
type State struct {
	// Connector is what the decision is about.
	Connector *connectv1.KafkaConnector
	// Connect is the KafkaConnect that it refers to.
	Connect *connectv1.KafkaConnect
	// Worker is the worker Secret.
	Worker *SecretFacts
	// TaskConfigs is what the connector published.
	TaskConfigs *SecretFacts
	// Live are the objects that have the names of what is to be made, whoever made them.
	Live Live
	// Pods of the connector and its tasks.
	Pods []*corev1.Pod
	// Claim is the claim of the shared volume.
	Claim *corev1.PersistentVolumeClaim
	// ClaimTrouble is the message of the newest warning event about the claim.
	ClaimTrouble string
	// Now is the time of the decision.
	Now time.Time
	// Compared spares comparisons that were made before; the decision is the same without it.
	Compared *apply.ComparisonCache
}

// Live are the objects under the names that belong to a KafkaConnector.
type Live struct {
	ConnectorSet, TaskSet                       *appsv1.StatefulSet
	ConnectorConfig, TaskRunnerConfig           *corev1.ConfigMap
	ConnectorSecret, TaskConfigs, Candidate     *corev1.Secret
	ServiceAccount                              *corev1.ServiceAccount
	Role                                        *rbacv1.Role
	RoleBinding                                 *rbacv1.RoleBinding
	Budget                                      *policyv1.PodDisruptionBudget
	ConnectorService, TaskService, TaskHeadless *corev1.Service
}

// SecretFacts is what may be known of a Secret without holding its values.
type SecretFacts struct {
	// Annotations of the Secret.
	Annotations map[string]string
	// Keys are the facts of each key.
	Keys map[string]KeyFacts
}

// KeyFacts is what may be known of a value.
type KeyFacts struct {
	// Hash identifies the value.
	Hash string
	// Problem says what is wrong with a value that should be a contract.TaskConfig; it never quotes the value.
	Problem string
}
