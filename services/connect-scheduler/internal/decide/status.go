package decide

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/condition"
)

// maxError is the longest error that status holds.
const maxError = 1024

// status tells what was observed, and what is wrong with it.
func status(s State, e effective, invalid *finding, set taskSet, restarts int) connectv1.KafkaConnectorStatus {
	connectors, tasks := podsOf(s.Pods, contract.TypeConnector), podsOf(s.Pods, contract.TypeTask)
	desired := taskReplicas(e, set.hashes)
	told := connectv1.KafkaConnectorStatus{
		ObservedGeneration: s.Connector.Generation,
		Connector:          connectorStatus(connectors[0]),
		Tasks:              taskStatuses(s, tasks, int(desired)),
		TasksDesired:       desired,
		Selector:           labels.SelectorFromSet(selector(s.Connector.Name, contract.TypeTask)).String(),
	}
	told.Restarts = told.Connector.Restarts
	for _, t := range told.Tasks {
		told.Restarts += t.Restarts
		if t.State == connectv1.PodRunning && t.ID < desired {
			told.TasksReady++
		}
	}
	told.TaskSummary = fmt.Sprintf("%d/%d", told.TasksReady, told.TasksDesired)
	told.State = stateWord(s, set, told)
	told.Conditions = condition.Merge(s.Connector.Status.Conditions, conditions(s, e, invalid, set, told, restarts), s.Connector.Generation, s.Now)
	return told
}

func connectorStatus(pod *corev1.Pod) *connectv1.ConnectorStatus {
	if pod == nil {
		return &connectv1.ConnectorStatus{State: connectv1.PodAbsent}
	}
	state, lastError := podState(pod)
	return &connectv1.ConnectorStatus{State: state, Pod: pod.Name, Node: pod.Spec.NodeName, Restarts: restartsOf(pod), LastError: lastError}
}

func taskStatuses(s State, pods map[int]*corev1.Pod, desired int) []connectv1.TaskStatus {
	count := desired
	for id := range pods {
		count = max(count, id+1)
	}
	var told []connectv1.TaskStatus
	for id := range count {
		pod := pods[id]
		if pod == nil && id >= desired {
			continue
		}
		task := connectv1.TaskStatus{ID: int32(id), State: connectv1.PodAbsent} //nolint:gosec // bounded by tasks.max
		if pod != nil {
			task.State, task.LastError = podState(pod)
			task.Pod, task.Node, task.Restarts, task.ConfigHash = pod.Name, pod.Spec.NodeName, restartsOf(pod), taskHashOf(pod)
		}
		task.Since = since(s, task)
		told = append(told, task)
	}
	return told
}

// since keeps the time at which a task entered its state.
func since(s State, task connectv1.TaskStatus) *metav1.Time {
	for _, before := range s.Connector.Status.Tasks {
		if before.ID == task.ID && before.State == task.State && before.Since != nil {
			return before.Since
		}
	}
	now := metav1.NewTime(s.Now).Rfc3339Copy()
	return &now
}

// podState is the state of a pod in one word, and what was wrong with it last.
func podState(pod *corev1.Pod) (state connectv1.PodState, lastError string) {
	lastError = troubleOf(pod)
	main := mainContainer(pod)
	switch {
	case pod.DeletionTimestamp != nil:
		return connectv1.PodStopping, lastError
	case isReady(pod):
		return connectv1.PodRunning, lastError
	case pod.Status.Phase == corev1.PodFailed, main.State.Terminated != nil && main.State.Terminated.ExitCode != 0:
		return connectv1.PodFailed, lastError
	case main.State.Waiting != nil && main.LastTerminationState.Terminated != nil:
		return connectv1.PodFailed, lastError
	case main.State.Running != nil:
		return connectv1.PodStarting, lastError
	}
	return connectv1.PodPending, lastError
}

// troubleOf is what a pod's container said when it last ended with an error, or why it cannot start.
func troubleOf(pod *corev1.Pod) string {
	main := mainContainer(pod)
	for _, ended := range []*corev1.ContainerStateTerminated{main.State.Terminated, main.LastTerminationState.Terminated} {
		if ended == nil || ended.ExitCode == 0 {
			continue
		}
		if said, ok := contract.ParseTermination(ended.Message); ok {
			return cut(said.Reason + ": " + said.Message)
		}
		message := fmt.Sprintf("%s: exit code %d", cmp.Or(ended.Reason, "Error"), ended.ExitCode)
		if ended.Signal != 0 {
			message = fmt.Sprintf("%s: signal %d", cmp.Or(ended.Reason, "Error"), ended.Signal)
		}
		return cut(message)
	}
	if waiting := main.State.Waiting; waiting != nil && waiting.Message != "" {
		return cut(waiting.Reason + ": " + waiting.Message)
	}
	for _, c := range pod.Status.Conditions {
		// A scheduler that is late may still say of a pod that has its node what became of the one before it.
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && pod.Spec.NodeName == "" {
			return cut(c.Reason + ": " + c.Message)
		}
	}
	if pod.Status.Phase == corev1.PodFailed {
		return cut(strings.TrimSuffix(pod.Status.Reason+": "+pod.Status.Message, ": "))
	}
	return ""
}

func cut(message string) string {
	message = strings.Join(strings.Fields(message), " ")
	if len(message) > maxError {
		return strings.ToValidUTF8(message[:maxError-3], "") + "..."
	}
	return message
}

func mainContainer(pod *corev1.Pod) corev1.ContainerStatus {
	name := pod.Labels[contract.LabelType]
	if name == contract.TypeOneShot {
		name = pod.Labels[contract.LabelOneShot]
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == name {
			return c
		}
	}
	return corev1.ContainerStatus{}
}

func restartsOf(pod *corev1.Pod) int32 { return mainContainer(pod).RestartCount }

func stateWord(s State, set taskSet, told connectv1.KafkaConnectorStatus) connectv1.ConnectorPhase {
	failed := failedTasks(told)
	switch {
	case s.Connector.Spec.State == connectv1.StateStopped:
		return connectv1.PhaseStopped
	case s.Connector.Spec.State == connectv1.StatePaused:
		return connectv1.PhasePaused
	case told.Connector.State == connectv1.PodFailed && told.TasksReady == 0, len(failed) > 0 && len(failed) == int(told.TasksDesired):
		return connectv1.PhaseFailed
	case told.Connector.State == connectv1.PodFailed, len(failed) > 0:
		return connectv1.PhaseDegraded
	case set.condition.Reason == connectv1.ReasonNotPublishedYet:
		return connectv1.PhasePending
	case told.Connector.State == connectv1.PodRunning && told.TasksReady == told.TasksDesired && len(told.Tasks) == int(told.TasksDesired):
		return connectv1.PhaseRunning
	}
	return connectv1.PhasePending
}

func failedTasks(told connectv1.KafkaConnectorStatus) []connectv1.TaskStatus {
	return slices.DeleteFunc(slices.Clone(told.Tasks), func(t connectv1.TaskStatus) bool { return t.State != connectv1.PodFailed })
}

func conditions(s State, e effective, invalid *finding, set taskSet, told connectv1.KafkaConnectorStatus, restarts int) []metav1.Condition {
	found := []metav1.Condition{
		ready(invalid, set, told, restarts),
		valid(invalid),
		publishedCondition(set, told),
		degraded(told),
		paused(s.Connector.Spec.State),
	}
	if e.storage != nil {
		found = append(found, s.claimOwner(e).storageReady(s.Claim, s.ClaimTrouble))
	}
	return found
}

func valid(invalid *finding) metav1.Condition {
	if invalid != nil && invalid.reason == connectv1.ReasonValidating {
		return condition.Unknown(connectv1.ConditionConfigValid, invalid.reason, invalid.message)
	}
	if invalid != nil {
		return condition.False(connectv1.ConditionConfigValid, invalid.reason, invalid.message)
	}
	return condition.True(connectv1.ConditionConfigValid, connectv1.ReasonAccepted, "the spec and what it refers to can be used")
}

// publishedCondition lets a connector that could not publish say why itself.
func publishedCondition(set taskSet, told connectv1.KafkaConnectorStatus) metav1.Condition {
	if reason, message, _ := strings.Cut(told.Connector.LastError, ": "); set.condition.Status != metav1.ConditionTrue && reason == contract.ReasonTaskConfigsTooLarge {
		return condition.False(connectv1.ConditionTaskConfigsPublished, connectv1.ReasonTaskConfigsTooLarge, message)
	}
	return set.condition
}

func degraded(told connectv1.KafkaConnectorStatus) metav1.Condition {
	failed := failedTasks(told)
	switch {
	case told.Connector.State == connectv1.PodFailed:
		return condition.True(connectv1.ConditionDegraded, connectv1.ReasonConnectorFailed, "the connector failed: "+told.Connector.LastError)
	case len(failed) > 0:
		return condition.True(connectv1.ConditionDegraded, connectv1.ReasonTasksFailed, describe(failed))
	}
	return condition.False(connectv1.ConditionDegraded, connectv1.ReasonNoFailures, "")
}

// describe names failed tasks, and what the first of them said.
func describe(failed []connectv1.TaskStatus) string {
	ids := make([]string, len(failed))
	for i, t := range failed {
		ids[i] = fmt.Sprint(t.ID)
	}
	word := "task "
	if len(ids) > 1 {
		word = "tasks "
	}
	return word + strings.Join(ids, ", ") + " failed: " + failed[0].LastError
}

func paused(state connectv1.ConnectorState) metav1.Condition {
	switch state {
	case connectv1.StatePaused:
		return condition.True(connectv1.ConditionPaused, connectv1.ReasonPaused, "spec.state is paused: no tasks run")
	case connectv1.StateStopped:
		return condition.True(connectv1.ConditionPaused, connectv1.ReasonStopped, "spec.state is stopped: neither the connector nor its tasks run")
	}
	return condition.False(connectv1.ConditionPaused, connectv1.ReasonRunning, "")
}

func ready(invalid *finding, set taskSet, told connectv1.KafkaConnectorStatus, restarts int) metav1.Condition {
	not := func(reason, message string) metav1.Condition {
		return condition.False(connectv1.ConditionReady, reason, message)
	}
	degraded := degraded(told)
	switch {
	case invalid != nil:
		return not(invalid.reason, invalid.message)
	case degraded.Status == metav1.ConditionTrue:
		return not(degraded.Reason, degraded.Message)
	case told.State == connectv1.PhaseStopped || told.State == connectv1.PhasePaused:
		return quiet(told)
	case told.Connector.State != connectv1.PodRunning:
		return not(connectv1.ReasonStarting, strings.TrimSuffix("the connector's pod is "+strings.ToLower(string(told.Connector.State))+": "+told.Connector.LastError, ": "))
	case set.condition.Status != metav1.ConditionTrue:
		return not(set.condition.Reason, set.condition.Message)
	case restarts > 0:
		return not(connectv1.ReasonRolling, "pods with a former configuration are being replaced")
	case told.State != connectv1.PhaseRunning:
		return not(connectv1.ReasonStarting, fmt.Sprintf("%s tasks are ready", told.TaskSummary)+firstTrouble(told))
	}
	return condition.True(connectv1.ConditionReady, connectv1.ReasonAllRunning, fmt.Sprintf("%s tasks are ready", told.TaskSummary))
}

// quiet is whether a connector that should rest does.
func quiet(told connectv1.KafkaConnectorStatus) metav1.Condition {
	running := len(told.Tasks)
	if told.State == connectv1.PhaseStopped && told.Connector.State != connectv1.PodAbsent {
		running++
	}
	if running > 0 {
		return condition.False(connectv1.ConditionReady, connectv1.ReasonStarting, fmt.Sprintf("%d pods are still there to be stopped", running))
	}
	return condition.True(connectv1.ConditionReady, string(told.State), "as spec.state asks for")
}

func firstTrouble(told connectv1.KafkaConnectorStatus) string {
	for _, t := range told.Tasks {
		if t.State != connectv1.PodRunning && t.LastError != "" {
			return fmt.Sprintf("; task %d: %s", t.ID, t.LastError)
		}
	}
	return ""
}
