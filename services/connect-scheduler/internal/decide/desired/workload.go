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
	// AnnotationAccepted on the connector's StatefulSet identifies the configuration that the plugin has accepted.
	AnnotationAccepted = "weir.dev/accepted-config"
	// annotationAcceptedTasksMax on the connector's StatefulSet is the tasks.max of this configuration.
	annotationAcceptedTasksMax = "weir.dev/accepted-tasks-max"
	// annotationPreviousTasks on the tasks' StatefulSet of a sink is the number of tasks before a scale-down, until the
	// static members of the deleted tasks are removed from the consumer group.
	annotationPreviousTasks = "weir.dev/previous-tasks"
	// LabelClaim on a pod identifies the claim that it mounts, see ClaimLabel.
	LabelClaim = "weir.dev/claim"
)

// role holds the differences between the connector's pod and the pods of tasks.
type role struct {
	podType  string // contract.TypeConnector or contract.TypeTask
	object   string // name of the StatefulSet
	workload connectv1.WorkloadSpec
	template connectv1.WorkloadTemplate
	// compact is the result of isCompact.
	compact bool
}

func connectorRole(s observed.State, e spec.Effective) role {
	return role{
		podType: contract.TypeConnector, object: observed.ConnectorName(s.Connector.Name),
		workload: e.Connector, template: e.ConnectorTemplate,
	}
}

func taskRole(s observed.State, e spec.Effective) role {
	return role{
		podType: contract.TypeTask, object: observed.TasksName(s.Connector.Name),
		workload: e.Task, template: e.TaskTemplate,
	}
}

// connectorSet returns the StatefulSet of the connector's pod.
func connectorSet(s observed.State, e spec.Effective) *appsv1ac.StatefulSetApplyConfiguration {
	r := connectorRole(s, e)
	r.compact = isCompact(s, e)
	return statefulSet(s, r, podTemplate(s, e, r), r.object, int(connectorReplicas(e))).
		WithAnnotations(map[string]string{
			AnnotationAccepted: e.CandidateKey(), annotationAcceptedTasksMax: strconv.Itoa(e.TasksMax),
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
func taskSet(s observed.State, e spec.Effective, set taskset.Set) *appsv1ac.StatefulSetApplyConfiguration {
	r := taskRole(s, e)
	r.compact = isCompact(s, e)
	template := podTemplate(s, e, r)
	template.Annotations[contract.AnnotationTaskHashes] = strings.Join(set.Hashes, ",")
	return record(
		s, set, statefulSet(s, r, template, observed.HeadlessName(s.Connector.Name), set.Replicas(e)))
}

// PreviousTasks returns the recorded number of tasks before the last scale-down of a sink. It is 0 if no static member
// has to be removed.
func PreviousTasks(s observed.State) int {
	if s.Ownership(s.Objects.TaskSet) != observed.Owned {
		return 0
	}
	previous, err := strconv.Atoi(s.Objects.TaskSet.Annotations[annotationPreviousTasks])
	if err != nil {
		return 0
	}
	return previous
}

// record adds annotations to the tasks' StatefulSet: the history of task configs, and the number of tasks before a
// scale-down. They are written together with the change, so that they are never lost.
func record(
	s observed.State, set taskset.Set, tasks *appsv1ac.StatefulSetApplyConfiguration,
) *appsv1ac.StatefulSetApplyConfiguration {
	previous := max(PreviousTasks(s), len(set.Running))
	if set.History != "" {
		tasks.WithAnnotations(map[string]string{taskset.AnnotationHistory: set.History})
	}
	delete(tasks.Annotations, annotationPreviousTasks)
	if taskset.IsSink(s) && !set.MembersRemoved && previous > len(set.Hashes) {
		tasks.WithAnnotations(map[string]string{annotationPreviousTasks: strconv.Itoa(previous)})
	}
	return tasks
}

func statefulSet(
	s observed.State, r role, template *corev1ac.PodTemplateSpecApplyConfiguration, service string, replicas int,
) *appsv1ac.StatefulSetApplyConfiguration {
	c := s.Connector
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
func configHash(s observed.State, e spec.Effective, r role) string {
	files := []string{string(spec.Encode(runnerConfig(e, r)))}
	if s.Worker != nil {
		files = append(files, s.Worker.Keys[spec.WorkerKey].Hash)
	}
	return contract.TaskConfigHash([]byte(strings.Join(files, "\n")))
}
