package decide

import (
	"maps"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
)

// Annotations of connect-scheduler on the pods that it has made; nobody else reads them.
const (
	// annotationTemplateHash identifies the pod template, without the hashes of task configs: a pod that has another one is replaced.
	annotationTemplateHash = "weir.dev/template-hash"
	// annotationConfigHash identifies the files that the pod is started with and that change without the template changing.
	annotationConfigHash = "weir.dev/config-hash"
	// annotationAccepted on the connector's StatefulSet identifies the configuration that the plugin has accepted.
	annotationAccepted = "weir.dev/accepted-config"
)

// kind is what connector and task pods do not have in common.
type kind struct {
	name     string // contract.TypeConnector or contract.TypeTask
	object   string // of the StatefulSet and the ConfigMap
	workload connectv1.WorkloadSpec
	template connectv1.WorkloadTemplate
}

func (e effective) kinds(connector string) (connectorKind, taskKind kind) {
	return kind{contract.TypeConnector, ConnectorName(connector), e.connector, e.connectorTemplate},
		kind{contract.TypeTask, TasksName(connector), e.task, e.taskTemplate}
}

// connectorSet is the StatefulSet of the connector's single pod.
func connectorSet(s State, e effective) *appsv1ac.StatefulSetApplyConfiguration {
	k, _ := e.kinds(s.Connector.Name)
	return statefulSet(s, k, podTemplate(s, e, k), ConnectorName(s.Connector.Name), e.connectorReplicas).
		WithAnnotations(map[string]string{annotationAccepted: e.candidateKey()})
}

// tasksSet is the StatefulSet of the tasks: as many pods as there are task configs. The pods' template lists what each of
// them has to find in its own file, so that a pod tells by itself what it was made for.
func tasksSet(s State, e effective, hashes []string) *appsv1ac.StatefulSetApplyConfiguration {
	_, k := e.kinds(s.Connector.Name)
	template := podTemplate(s, e, k)
	template.Annotations[contract.AnnotationTaskHashes] = strings.Join(hashes, ",")
	return statefulSet(s, k, template, HeadlessName(s.Connector.Name), taskReplicas(e, hashes))
}

func taskReplicas(e effective, hashes []string) int32 {
	if !e.tasksRun {
		return 0
	}
	return int32(len(hashes)) //nolint:gosec // at most 1000: tasks.max is bounded
}

func statefulSet(s State, k kind, template *corev1ac.PodTemplateSpecApplyConfiguration, service string, replicas int32) *appsv1ac.StatefulSetApplyConfiguration {
	c := s.Connector
	return appsv1ac.StatefulSet(k.object, c.Namespace).
		WithLabels(labelsOf(c, k.name)).
		WithOwnerReferences(ownerReference("KafkaConnector", c.Name, c.UID)).
		WithSpec(appsv1ac.StatefulSetSpec().
			WithReplicas(replicas).
			WithServiceName(service).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(selector(c.Name, k.name))).
			// A task in a crash loop must not keep the others from starting.
			WithPodManagementPolicy(appsv1.ParallelPodManagement).
			// Which pods restart, and when, is decided here: see roll.go.
			WithUpdateStrategy(appsv1ac.StatefulSetUpdateStrategy().WithType(appsv1.OnDeleteStatefulSetStrategyType)).
			WithRevisionHistoryLimit(1).
			WithTemplate(template))
}

// podTemplate is the template of one kind of pod, with its hash among the annotations.
func podTemplate(s State, e effective, k kind) *corev1ac.PodTemplateSpecApplyConfiguration {
	annotations := map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": strconv.Itoa(contract.RunnerPort)}
	maps.Copy(annotations, k.template.Metadata.Annotations)
	annotations[annotationConfigHash] = configHash(s, e, k)
	podLabels := labelsOf(s.Connector, k.name)
	for key, value := range k.template.Metadata.Labels {
		if _, taken := podLabels[key]; !taken || s.Connector.Labels[key] != "" {
			podLabels[key] = value
		}
	}
	maps.Copy(podLabels, selector(s.Connector.Name, k.name))
	if e.storage != nil {
		podLabels[labelClaim] = claimName(e.storageOwner, e.storage)
	}
	template := corev1ac.PodTemplateSpec().WithLabels(podLabels).WithAnnotations(annotations).WithSpec(podSpec(s, e, k))
	template.Annotations[annotationTemplateHash] = contract.TaskConfigHash(encode(template))
	return template
}

// configHash identifies what the pod reads at its start, other than task configs.
func configHash(s State, e effective, k kind) string {
	files := []string{string(encode(runnerConfig(e, k)))}
	if s.Worker != nil {
		files = append(files, s.Worker.Keys[workerKey].Hash)
	}
	return contract.TaskConfigHash([]byte(strings.Join(files, "\n")))
}
