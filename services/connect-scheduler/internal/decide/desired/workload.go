package desired

import (
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/taskset"
)

// Annotations that only connect-scheduler reads.
const (
	// AnnotationTemplateHash on a pod identifies its template without labels and without the hashes of task configs, see
	// templateHash. A pod with another hash than the StatefulSet's template is outdated.
	AnnotationTemplateHash = "weir.dev/template-hash"
	// AnnotationLabels on a pod holds the labels of the KafkaConnector and its template that the pod has, as JSON.
	AnnotationLabels = "weir.dev/propagated-labels"
	// annotationConfigHash on a pod identifies the files that it reads when it starts, other than task configs.
	annotationConfigHash = "weir.dev/config-hash"
	// LabelClaim on a pod identifies the claim that it mounts, see ClaimLabel.
	LabelClaim = "weir.dev/claim"
)

// Builder builds the objects of a KafkaConnector for one effective spec.
type Builder struct {
	state observed.State
	spec  spec.Effective
	// connector and tasks build the pods.
	connector, tasks role
}

// NewBuilder returns the builder for an effective spec: the one in the API, or the accepted one.
func NewBuilder(s observed.State, e spec.Effective) Builder {
	return Builder{
		state: s, spec: e,
		connector: role{
			connector: s.Connector, spec: e, worker: s.Worker,
			podType: contract.TypeConnector, object: observed.ConnectorName(s.Connector.Name),
			workload: e.Connector, template: e.ConnectorTemplate,
		},
		tasks: role{
			connector: s.Connector, spec: e, worker: s.Worker,
			podType: contract.TypeTask, object: observed.TasksName(s.Connector.Name),
			workload: e.Task, template: e.TaskTemplate,
		},
	}
}

// role is everything from which the pods of one type are built: the connector's pod, or the pods of tasks.
type role struct {
	connector *connectv1.KafkaConnector
	spec      spec.Effective
	podType   string // contract.TypeConnector or contract.TypeTask
	object    string // name of the StatefulSet
	workload  connectv1.WorkloadSpec
	template  connectv1.WorkloadTemplate
	// worker describes the worker Secret.
	worker *observed.Secret
	// compact is the result of isCompact.
	compact bool
}

// sets returns the StatefulSets for a set of task configs.
func (b Builder) sets(set taskset.Set) Sets {
	compact := b.isCompact()
	b.connector.compact, b.tasks.compact = compact, compact
	return Sets{Connector: b.connector.connectorSet(), Tasks: b.tasks.taskSet(set)}
}

// connectorSet returns the StatefulSet of the connector's pod.
func (r role) connectorSet() *appsv1ac.StatefulSetApplyConfiguration {
	return r.statefulSet(r.podTemplate(), r.object, int(connectorReplicas(r.spec))).
		WithAnnotations(map[string]string{
			observed.AnnotationAccepted:         r.spec.CandidateKey(),
			observed.AnnotationAcceptedTasksMax: strconv.Itoa(r.spec.TasksMax),
		})
}

func connectorReplicas(e spec.Effective) int32 {
	if e.RunConnector {
		return 1
	}
	return 0
}

// taskSet returns the StatefulSet of the tasks. An annotation of the pod template lists the hashes of all task configs.
// The pod finds its own hash by its index.
func (r role) taskSet(set taskset.Set) *appsv1ac.StatefulSetApplyConfiguration {
	template := r.podTemplate()
	template.Annotations[contract.AnnotationTaskHashes] = strings.Join(set.Hashes, ",")
	return record(set, r.statefulSet(template, observed.HeadlessName(r.connector.Name), set.Replicas()))
}

// record adds annotations to the tasks' StatefulSet: the history of task configs, and the number of tasks before a
// scale-down. They are written together with the change, so that they are never lost.
func record(set taskset.Set, tasks *appsv1ac.StatefulSetApplyConfiguration) *appsv1ac.StatefulSetApplyConfiguration {
	previous := max(set.Running.Previous, len(set.Running.Hashes))
	if set.History != "" {
		tasks.WithAnnotations(map[string]string{observed.AnnotationHistory: set.History})
	}
	delete(tasks.Annotations, observed.AnnotationPreviousTasks)
	if set.Published.Sink && !set.MembersRemoved && previous > len(set.Hashes) {
		tasks.WithAnnotations(map[string]string{observed.AnnotationPreviousTasks: strconv.Itoa(previous)})
	}
	return tasks
}

func (r role) statefulSet(
	template *corev1ac.PodTemplateSpecApplyConfiguration, service string, replicas int,
) *appsv1ac.StatefulSetApplyConfiguration {
	c := r.connector
	return appsv1ac.StatefulSet(r.object, c.Namespace).
		WithLabels(Labels(c, r.podType)).
		WithOwnerReferences(OwnerReference(observed.ConnectorOwner(c))).
		WithSpec(appsv1ac.StatefulSetSpec().
			WithReplicas(int32(replicas)). //nolint:gosec // at most 1000: tasks.max is bounded
			WithServiceName(service).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(Selector(c.Name, r.podType))).
			// A crash-looping task must not block the other tasks.
			WithPodManagementPolicy(appsv1.ParallelPodManagement).
			// Package rollout decides which pods restart.
			WithUpdateStrategy(appsv1ac.StatefulSetUpdateStrategy().WithType(appsv1.OnDeleteStatefulSetStrategyType)).
			WithRevisionHistoryLimit(1).
			WithTemplate(template))
}

// configHash identifies the files that a pod reads when it starts, other than task configs.
func (r role) configHash() string {
	files := []string{string(spec.Encode(r.runnerConfig()))}
	if r.worker != nil {
		files = append(files, r.worker.Keys[spec.WorkerKey].Hash)
	}
	return contract.TaskConfigHash([]byte(strings.Join(files, "\n")))
}
