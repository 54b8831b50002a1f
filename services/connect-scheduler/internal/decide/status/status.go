// Package status computes the status and the events of a KafkaConnector from the results of the other steps.
package status

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/condition"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/rollout"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/taskset"
)

// Input is what the status depends on, besides the KafkaConnector.
type Input struct {
	// Current are the StatefulSets, pods and published task configs that exist.
	Current observed.Current
	// Storage is the condition of the shared volume, or nil.
	Storage *metav1.Condition
	// Finding describes why the spec is not valid, or is nil.
	Finding *spec.Finding
	// IsSecretLost is true if the configuration of the running pods was deleted, see desired.AcceptedSpec.
	IsSecretLost bool
	// Tasks is the set of task configs.
	Tasks taskset.Set
	// Rollout is the result of the rollout decision. It is empty while the spec is not valid.
	Rollout rollout.Plan
	// LastRestart is the value of status.lastRestart.
	LastRestart string
	// DefaultOffsetsTopic is the topic of source offsets if worker.properties sets none.
	DefaultOffsetsTopic string
	// Budget is the use of the limit of pods that restart at the same time.
	Budget rollout.Budget
	// Offsets is the result of the last operation on offsets.
	Offsets *connectv1.OffsetsStatus
}

// Of returns the status of the KafkaConnector.
func Of(c *connectv1.KafkaConnector, in Input) connectv1.KafkaConnectorStatus {
	current, desiredTasks := in.Current, in.Tasks.Desired()
	status := connectv1.KafkaConnectorStatus{
		ObservedGeneration: c.Generation,
		Connector:          connectorStatus(current.Pods.Connector),
		Tasks:              taskStatuses(current, c.Status.Tasks, desiredTasks),
		TasksDesired:       int32(desiredTasks), //nolint:gosec // at most 1000: tasks.max is bounded
		Selector:           labels.SelectorFromSet(desired.Selector(c.Name, contract.TypeTask)).String(),
		Offsets:            in.Offsets,
		Restarting:         in.Budget.Restarting,

		DefaultOffsetsTopic: in.DefaultOffsetsTopic,
		LastRestart:         in.LastRestart,
	}
	status.Restarts = status.Connector.Restarts
	for _, t := range status.Tasks {
		status.Restarts += t.Restarts
		if t.State == connectv1.PodRunning && t.ID < status.TasksDesired {
			status.TasksReady++
		}
	}
	status.TaskSummary = fmt.Sprintf("%d/%d", status.TasksReady, status.TasksDesired)
	status.State = phase(c.Spec.State, in, status)
	status.Conditions = condition.Merge(c.Status.Conditions, conditions(c, in, status), c.Generation, current.Now)
	return status
}

func connectorStatus(pod *observed.Pod) *connectv1.ConnectorStatus {
	if pod == nil {
		return &connectv1.ConnectorStatus{State: connectv1.PodAbsent}
	}
	return &connectv1.ConnectorStatus{
		State: PodState(pod), Pod: pod.Name, Node: pod.Spec.NodeName,
		Restarts: pod.Main.RestartCount, LastError: pod.LastError,
	}
}

// taskStatuses returns the status of each desired task, and of each other task whose pod still exists.
func taskStatuses(
	current observed.Current, previous []connectv1.TaskStatus, desiredTasks int,
) []connectv1.TaskStatus {
	count := desiredTasks
	for id := range current.Pods.Tasks {
		count = max(count, id+1)
	}
	var tasks []connectv1.TaskStatus
	for id := range count {
		pod := current.Pods.Tasks[id]
		if pod == nil && id >= desiredTasks {
			continue
		}
		task := connectv1.TaskStatus{ID: int32(id), State: connectv1.PodAbsent} //nolint:gosec // at most 1000
		if pod != nil {
			task.State, task.LastError = PodState(pod), pod.LastError
			task.Pod, task.Node, task.ConfigHash = pod.Name, pod.Spec.NodeName, pod.TaskHash
			task.Restarts = pod.Main.RestartCount
		}
		task.Since = since(task, previous, current.Timestamp)
		tasks = append(tasks, task)
	}
	return tasks
}

// since returns the time at which a task entered its state.
func since(task connectv1.TaskStatus, previous []connectv1.TaskStatus, now metav1.Time) *metav1.Time {
	for _, was := range previous {
		if was.ID == task.ID && was.State == task.State && was.Since != nil {
			return was.Since
		}
	}
	return &now
}

// PodState returns the state of the pod of a connector or a task.
func PodState(pod *observed.Pod) connectv1.PodState {
	main := pod.Main
	switch {
	case pod.DeletionTimestamp != nil:
		return connectv1.PodStopping
	case pod.Ready:
		return connectv1.PodRunning
	case pod.Status.Phase == corev1.PodFailed, main.State.Terminated != nil && main.State.Terminated.ExitCode != 0:
		return connectv1.PodFailed
	case main.State.Waiting != nil && main.LastTerminationState.Terminated != nil:
		return connectv1.PodFailed
	case main.State.Running != nil:
		return connectv1.PodStarting
	}
	return connectv1.PodPending
}

func phase(
	state connectv1.ConnectorState, in Input, status connectv1.KafkaConnectorStatus,
) connectv1.ConnectorPhase {
	failed := len(failedTasks(status))
	connector, desiredTasks := status.Connector.State, int(status.TasksDesired)
	switch {
	case state == connectv1.StateStopped && !in.Current.IsStopped:
		return connectv1.PhaseStopping
	case state == connectv1.StateStopped:
		return connectv1.PhaseStopped
	case state == connectv1.StatePaused:
		return connectv1.PhasePaused
	case connector == connectv1.PodFailed && status.TasksReady == 0, failed > 0 && failed == desiredTasks:
		return connectv1.PhaseFailed
	case connector == connectv1.PodFailed, failed > 0:
		return connectv1.PhaseDegraded
	case in.Tasks.Condition.Reason == connectv1.ReasonNotPublishedYet:
		return connectv1.PhasePending
	case connector == connectv1.PodRunning && status.TasksReady == status.TasksDesired &&
		len(status.Tasks) == desiredTasks:
		return connectv1.PhaseRunning
	}
	return connectv1.PhasePending
}

func failedTasks(status connectv1.KafkaConnectorStatus) []connectv1.TaskStatus {
	return slices.DeleteFunc(slices.Clone(status.Tasks), func(t connectv1.TaskStatus) bool {
		return t.State != connectv1.PodFailed
	})
}
