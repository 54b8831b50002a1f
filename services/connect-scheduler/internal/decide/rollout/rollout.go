// Package rollout decides which pods restart now, and why.
package rollout

import (
	"cmp"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/taskset"
)

// Restart is a pod that is deleted so that its StatefulSet recreates it.
type Restart struct {
	Pod *observed.Pod
	// Cause is a clause for events.
	Cause string
}

// Plan is the result of a rollout decision.
type Plan struct {
	// Restarts are the pods to delete now.
	Restarts []Restart
	// Metadata are the changes of labels and annotations of pods that do not restart now.
	Metadata []*desired.Metadata
	// Outdated is the number of pods that still have to be replaced.
	Outdated int
	// Blocked describes why failed tasks stop the rollout of a new pod template. It is empty if they do not.
	Blocked string
	// RequeueAfter is the time after which the decision can differ although no object has changed. 0: never.
	RequeueAfter time.Duration
}

// Decide returns the pods that restart now. The pods of a StatefulSet restart only after its controller has observed
// the desired template, else they would be recreated from the previous template. budget is used up by the restarts.
func Decide(s observed.State, e spec.Effective, set taskset.Set, sets desired.Sets, budget *Budget) Plan {
	outdated := outdatedPods{s, set, sets.Connector.Spec.Template, sets.Tasks.Spec.Template}
	plan := Plan{Outdated: outdated.count(set.Replicas(e))}
	if isObserved(s.Objects.ConnectorSet, sets.Connector) {
		plan.Restarts = append(plan.Restarts, budget.take(restartConnector(s, outdated))...)
	}
	if isObserved(s.Objects.TaskSet, sets.Tasks) && !set.Lost {
		tasks := observeTasks(s, e, set.Replicas(e), outdated)
		plan.Restarts = append(plan.Restarts, budget.take(tasks.restarts(s, e))...)
		plan.Blocked, plan.RequeueAfter = tasks.blocked(e), tasks.requeueAfter(s)
	}
	budget.keep(s, plan.Restarts, set.Fencing)
	plan.Metadata = metadata(s, sets, plan.Restarts)
	return plan
}

// metadata returns the changes of labels and annotations of the pods that do not restart.
func metadata(s observed.State, sets desired.Sets, restarts []Restart) []*desired.Metadata {
	var changes []*desired.Metadata
	for _, pod := range s.Pods.Workload {
		template := sets.Tasks.Spec.Template
		if pod.Labels[contract.LabelType] == contract.TypeConnector {
			template = sets.Connector.Spec.Template
		}
		restarting := slices.ContainsFunc(restarts, func(r Restart) bool { return r.Pod == pod })
		if pod.DeletionTimestamp != nil || restarting {
			continue
		}
		if change := desired.SyncMetadata(pod.Pod, template); change != nil {
			changes = append(changes, change)
		}
	}
	return changes
}

// isObserved reports whether the StatefulSet controller has observed the desired template.
func isObserved(live *appsv1.StatefulSet, want *appsv1ac.StatefulSetApplyConfiguration) bool {
	if live == nil || live.Status.ObservedGeneration < live.Generation {
		return false
	}
	for _, annotation := range []string{desired.AnnotationTemplateHash, contract.AnnotationTaskHashes} {
		if live.Spec.Template.Annotations[annotation] != want.Spec.Template.Annotations[annotation] {
			return false
		}
	}
	return true
}

// outdatedPods finds pods that do not match the desired templates and task configs, or whose restart is requested.
type outdatedPods struct {
	state                       observed.State
	set                         taskset.Set
	connectorTemplate, template *corev1ac.PodTemplateSpecApplyConfiguration
}

// count returns the number of outdated pods.
func (o outdatedPods) count(replicas int) int {
	count := 0
	if pod := o.state.Pods.Connector; pod != nil && o.connector(pod) != "" {
		count++
	}
	for id, pod := range o.state.Pods.Tasks {
		if id < replicas && o.task(pod) != "" {
			count++
		}
	}
	return count
}

// connector returns the cause to restart the connector's pod. It is empty if there is none.
func (o outdatedPods) connector(pod *observed.Pod) string {
	return cmp.Or(o.cause(pod, o.connectorTemplate, ""), lostTaskConfigs(o.state, pod))
}

// task returns the cause to restart the pod of a task. It is empty if there is none.
func (o outdatedPods) task(pod *observed.Pod) string {
	hash := o.set.Hashes[pod.Index]
	if o.set.KeepsConfig(pod) {
		hash = ""
	}
	return cmp.Or(o.cause(pod, o.template, hash), staleTaskConfig(o.set, pod))
}

// Causes of restarts. They are clauses for events.
const (
	causeTemplate   = "its template or configuration has changed"
	causeTaskConfig = "its task config has changed"
	causeRequest    = "a restart was requested"
	causeResize     = "the file system of the shared volume can grow only when a pod mounts it again"
)

func (o outdatedPods) cause(
	pod *observed.Pod, template *corev1ac.PodTemplateSpecApplyConfiguration, taskHash string,
) string {
	switch {
	case !desired.MatchesTemplate(pod.Pod, template):
		return causeTemplate
	case taskHash != "" && pod.TaskHash != taskHash:
		return causeTaskConfig
	case pod.Annotations[contract.ManualRollingUpdate] == "true" && !isRequested(o.state, pod):
		return causeRequest
	}
	return ""
}

func restartConnector(s observed.State, outdated outdatedPods) []Restart {
	pod := s.Pods.Connector
	if pod == nil || pod.DeletionTimestamp != nil {
		return nil
	}
	if cause := outdated.connector(pod); cause != "" {
		return []Restart{{pod, cause}}
	}
	return nil
}

// maxUnavailable returns the number of tasks that may be unavailable. It is at least 1.
func maxUnavailable(bound intstr.IntOrString, replicas int) int {
	allowed, err := intstr.GetScaledValueFromIntOrPercent(&bound, replicas, true)
	if err != nil {
		allowed = 1
	}
	return max(1, allowed)
}

// resizeRestart returns the first task if a pod has to restart so that a driver without online expansion can grow the
// file system. It returns nothing if a pod has started since the claim began to wait.
func resizeRestart(s observed.State, replicas int) []Restart {
	if s.Claim == nil || replicas == 0 {
		return nil
	}
	i := slices.IndexFunc(s.Claim.Status.Conditions, func(c corev1.PersistentVolumeClaimCondition) bool {
		return c.Type == corev1.PersistentVolumeClaimFileSystemResizePending && c.Status == corev1.ConditionTrue
	})
	if i < 0 {
		return nil
	}
	for _, pod := range s.Pods.Workload {
		if pod.DeletionTimestamp != nil ||
			pod.CreationTimestamp.After(s.Claim.Status.Conditions[i].LastTransitionTime.Time) {
			return nil
		}
	}
	if pod := s.Pods.Tasks[0]; pod != nil {
		return []Restart{{pod, causeResize}}
	}
	return nil
}
