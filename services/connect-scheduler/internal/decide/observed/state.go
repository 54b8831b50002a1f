// Package observed holds the input of a decision: the objects that were read from the caches, their names and owners,
// and what they tell about the pods that run.
package observed

import (
	"errors"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/pkg/apply"
)

// State is the input of a decision about one KafkaConnector. Objects that do not exist are nil.
type State struct {
	// Connector is the KafkaConnector.
	Connector *connectv1.KafkaConnector
	// Connect is the KafkaConnect of spec.connectRef.
	Connect *connectv1.KafkaConnect
	// Worker describes the worker Secret.
	Worker *Secret
	// TaskConfigs describes the Secret in which the connector publishes task configs.
	TaskConfigs *Secret
	// Objects are the objects with derived names. They may have another owner.
	Objects Objects
	// Pods are the pods of the connector and its tasks, and one-shot pods.
	Pods Pods
	// Namesakes are the connectors of the same name in other namespaces. They are read only until the connector has
	// started.
	Namesakes []Namesake
	// AcceptedConfig is the connectorConfig with which the connector runs. It is read only if tasks.max changes while
	// another connectorConfig is held back. It may contain secrets.
	AcceptedConfig map[string]string
	// AcceptedFiles are the values of the Secret from which AcceptedConfig was read.
	AcceptedFiles map[string][]byte
	// Claim is the claim of the shared volume.
	Claim *corev1.PersistentVolumeClaim
	// ClaimWarning is the message of the newest warning event about the claim. It is empty if the cause no longer exists.
	ClaimWarning string
	// Settings are the flags on which decisions depend.
	Settings Settings
	// Class tells whether the StorageClass of the claim exists.
	Class ClassState
	// Errors holds the error of each input that could not be read.
	Errors Errors
	// Now is the time of the decision.
	Now time.Time
	// Budget limits the pods that a rollout may restart. nil: no limit.
	Budget *Budget
	// Comparisons caches the results of comparisons. It is optional and does not affect the decision.
	Comparisons *apply.ComparisonCache
}

// Budget is the number of pods that a rollout may restart now, besides those in status.restarting. Pods that fail, that
// a user or a drain restarts, and pods that are created for the first time need no budget.
type Budget struct {
	// Free is the number of pods.
	Free int
	// Limit is the maximum number of pods that restart at the same time, for messages.
	Limit int
}

// Settings are the flags of the service on which decisions depend.
type Settings struct {
	// AllowedVolumeTypes are the types of volumes that templates may use, by their field names in a pod's spec.
	AllowedVolumeTypes []string
}

// ClassState tells whether the StorageClass of a claim exists.
type ClassState int

const (
	// ClassUnknown means that the claim uses the default class, or connect-scheduler may not read StorageClasses and
	// PersistentVolumes.
	ClassUnknown ClassState = iota
	// ClassFound means that the StorageClass exists, or a PersistentVolume that the claim can use has its name as class.
	ClassFound
	// ClassMissing means that neither exists.
	ClassMissing
)

// Errors holds one error for each input of a State. An input with an error is unknown: a nil object then does not mean
// that the object does not exist.
type Errors struct {
	Connect, Worker, Objects, Claim, Class error
}

// Err returns all errors as one. It returns nil if all inputs were read.
func (e Errors) Err() error { return errors.Join(e.Connect, e.Worker, e.Objects, e.Claim, e.Class) }

// Objects are the objects whose names derive from the name of the KafkaConnector.
type Objects struct {
	ConnectorSet, TaskSet                       *appsv1.StatefulSet
	ConnectorSecret, TaskConfigs, Candidate     *corev1.Secret
	ServiceAccount                              *corev1.ServiceAccount
	Role                                        *rbacv1.Role
	RoleBinding                                 *rbacv1.RoleBinding
	Budget                                      *policyv1.PodDisruptionBudget
	ConnectorService, TaskService, TaskHeadless *corev1.Service
	// ConfigMaps are ConfigMaps that an older version has created. Pods of that version mount them.
	ConfigMaps []*corev1.ConfigMap
}

// Object is an object with its kind.
type Object struct {
	metav1.Object
	Kind string
}

// Managed returns the objects that connect-scheduler owns for as long as the KafkaConnector exists. Objects that do not
// exist are left out.
func (o Objects) Managed() []Object {
	var found []Object
	for _, object := range []Object{
		{o.ConnectorSet, "StatefulSet"}, {o.TaskSet, "StatefulSet"},
		{o.ConnectorSecret, "Secret"}, {o.TaskConfigs, "Secret"},
		{o.ServiceAccount, "ServiceAccount"}, {o.Role, "Role"}, {o.RoleBinding, "RoleBinding"},
		{o.Budget, "PodDisruptionBudget"},
		{o.ConnectorService, "Service"}, {o.TaskService, "Service"}, {o.TaskHeadless, "Service"},
	} {
		if !IsNil(object.Object) {
			found = append(found, object)
		}
	}
	return found
}

// Secret describes a Secret without its values.
type Secret struct {
	// Annotations of the Secret.
	Annotations map[string]string
	// Keys describes the value of each key.
	Keys map[string]SecretValue
	// Worker are the settings of its key worker.properties.
	Worker WorkerSettings
}

// WorkerSettings are the settings of worker.properties on which decisions depend.
type WorkerSettings struct {
	// OffsetsTopic is offset.storage.topic. It is empty if the property is not set.
	OffsetsTopic string
	// Servers are the bootstrap.servers.
	Servers []string
}

// Namesake is a connector of the same name in another namespace.
type Namesake struct {
	Connector *connectv1.KafkaConnector
	// Set is the StatefulSet of its connector's pod.
	Set *appsv1.StatefulSet
	// Worker describes its worker Secret.
	Worker *Secret
}

// SecretValue describes a value of a Secret.
type SecretValue struct {
	// Hash identifies the value.
	Hash string
	// Problem describes why the value is not a valid contract.TaskConfig. It never quotes the value.
	Problem string
}

// ConnectState is the input of a decision about one KafkaConnect. Objects that do not exist are nil.
type ConnectState struct {
	// Connect is the KafkaConnect.
	Connect *connectv1.KafkaConnect
	// Connectors is the number of KafkaConnectors that reference the KafkaConnect.
	Connectors int
	// Claim is the claim of the shared volume.
	Claim *corev1.PersistentVolumeClaim
	// ClaimWarning is the message of the newest warning event about the claim. It is empty if the cause no longer exists.
	ClaimWarning string
	// Class tells whether the StorageClass of the claim exists.
	Class ClassState
	// ClaimError is the error with which reading the claim failed.
	ClaimError error
	// Now is the time of the decision.
	Now time.Time
}
