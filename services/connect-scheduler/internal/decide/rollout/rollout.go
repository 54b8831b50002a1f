// Package rollout decides which pods restart now, and why.
package rollout

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"

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
	// RecheckAt is the time at which the decision can differ although no object has changed. It is zero if there is none.
	RecheckAt time.Time
}

// Input is what a rollout decision depends on, besides the effective spec.
type Input struct {
	// Current are the StatefulSets, pods and published task configs that exist.
	Current observed.Current
	// Tasks is the set of task configs.
	Tasks taskset.Set
	// Sets are the desired StatefulSets.
	Sets desired.Sets
	// Requests are the requested restarts.
	Requests Requested
	// Budget is used up by the restarts.
	Budget *Budget
	// Claim is the claim of the shared volume, or nil.
	Claim *corev1.PersistentVolumeClaim
}

// Decide returns the pods that restart now. The pods of a StatefulSet restart only after its controller has observed
// the desired template, else they would be recreated from the previous template.
func Decide(e spec.Effective, in Input) Plan {
	pods, sets := in.Current.Pods, in.Sets
	outdated := outdatedPods(in)
	plan := Plan{Outdated: len(outdated)}
	var restarts []Restart
	if pod := pods.Connector; outdated[pod] != "" && pod.DeletionTimestamp == nil &&
		isObserved(in.Current.ConnectorSet, sets.Connector) {
		restarts = append(restarts, Restart{pod, outdated[pod]})
	}
	if isObserved(in.Current.TaskSet, sets.Tasks) && !in.Tasks.Lost {
		tasks := sortTasks(e, in, outdated)
		restarts = append(restarts, tasks.restarts()...)
		plan.Blocked, plan.RecheckAt = tasks.blocked(), tasks.recheckAt()
	}
	plan.Restarts = in.Budget.take(restarts)
	in.Budget.release(plan.Restarts, in.Tasks.Fencing)
	plan.Metadata = metadata(pods.Workload, sets, plan.Restarts)
	return plan
}

// metadata returns the changes of labels and annotations of the pods that do not restart.
func metadata(pods []*observed.Pod, sets desired.Sets, restarts []Restart) []*desired.Metadata {
	var changes []*desired.Metadata
	for _, pod := range pods {
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
