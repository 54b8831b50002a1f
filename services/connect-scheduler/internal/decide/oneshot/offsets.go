package oneshot

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/taskset"
)

// offsetsKey is the key of the ConfigMap of spec.alterOffsets.
const offsetsKey = "offsets.json"

// Offsets runs the operation of the annotation strimzi.io/connector-offsets. An attempt that failed is repeated while
// the annotation exists. It returns the status of the last operation and whether the annotation can be removed.
func (w *Operations) Offsets(tasks taskset.Set) (status *connectv1.OffsetsStatus, done bool) {
	pod := w.pod(contract.OneShotOffsets)
	operation, requested := w.connector.Annotations[contract.ConnectorOffsets]
	hasStarted := requested && pod != nil && pod.Request == operation
	hasEnded := pod != nil && pod.Result != nil
	isRetried := hasStarted && hasEnded && !pod.IsFinal
	status = w.connector.Status.Offsets
	if hasEnded && !isRetried && (status == nil || status.ID != string(pod.UID)) {
		status = offsetsStatus(pod, w.current.Timestamp)
	}
	if hasStarted && !isRetried {
		// The operation is not refused even if spec.state has changed: see ChangesOffsets.
		return status, hasEnded
	}
	if idle, isIdle := w.withoutPod(status); isIdle {
		w.cancel(pod)
		return idle, requested && idle.State == connectv1.OffsetsRefused
	}
	if _, failure := w.run(w.offsetsPod(operation, tasks)); failure != "" {
		return &connectv1.OffsetsStatus{
			ID: string(pod.UID), Operation: operation, State: connectv1.OffsetsRetrying, Message: failure,
			Time: metav1.NewTime(pod.Ended).Rfc3339Copy(),
		}, false
	}
	return status, false
}

// offsetsPod returns the one-shot pod of a valid request.
func (w *Operations) offsetsPod(operation string, tasks taskset.Set) desired.OneShot {
	o := desired.OneShot{
		Operation: contract.OneShotOffsets, Request: operation, Args: []string{"offsets", operation},
	}
	if operation == contract.OffsetsAlter {
		o.ConfigMap = w.connector.Spec.AlterOffsets.FromConfigMap.Name
		o.Args = append(o.Args, "--offsets", path.Join(desired.InputDir, offsetsKey))
	}
	if producers := previousTasks(tasks); operation != contract.OffsetsList && producers > 0 {
		o.Args = append(o.Args, "--fence-tasks", strconv.Itoa(producers))
	}
	return o
}

// withoutPod returns the status if no pod may run: nothing is requested, or the request cannot be carried out now. last
// is the status of the last operation.
func (w *Operations) withoutPod(last *connectv1.OffsetsStatus) (status *connectv1.OffsetsStatus, isIdle bool) {
	operation, requested := w.connector.Annotations[contract.ConnectorOffsets]
	if !requested {
		return canceled(last, w.current.Timestamp), true
	}
	if refusal := refuse(w.connector.Spec, operation); refusal != "" {
		return &connectv1.OffsetsStatus{
			Operation: operation, State: connectv1.OffsetsRefused, Message: refusal, Time: w.current.Timestamp,
		}, true
	}
	if operation != contract.OffsetsList && !w.current.IsStopped {
		return waitingForPods(operation, w.current, w.connector.Status.Offsets), true
	}
	return nil, false
}

// canceled returns the status after the annotation was removed. An operation that has not ended is canceled.
func canceled(status *connectv1.OffsetsStatus, now metav1.Time) *connectv1.OffsetsStatus {
	pending := []connectv1.OffsetsState{connectv1.OffsetsWaitingForPods, connectv1.OffsetsRetrying}
	if status == nil || !slices.Contains(pending, status.State) {
		return status
	}
	return &connectv1.OffsetsStatus{
		Operation: status.Operation, State: connectv1.OffsetsCanceled, Time: now,
		Message: "annotation " + contract.ConnectorOffsets + " was removed before the operation ended",
	}
}

// ChangesOffsets reports whether a one-shot pod that alters or resets offsets can still write. No pod of the connector
// may start meanwhile, even if spec.state is running again.
func (w *Operations) ChangesOffsets() bool {
	pod := w.pod(contract.OneShotOffsets)
	return pod != nil && pod.Request != contract.OffsetsList && pod.Result == nil
}

// previousTasks returns the number of tasks whose producers are fenced before offsets change. It is 0 if the
// connector is not an exactly-once source. A task that still runs on an unreachable node cannot commit offsets after
// it is fenced.
func previousTasks(tasks taskset.Set) int {
	if !tasks.Published.ExactlyOnce {
		return 0
	}
	return max(tasks.Published.Tasks, len(tasks.Running.Hashes))
}

// maxNamedPods is the maximum number of pods that the message of OffsetsWaitingForPods names.
const maxNamedPods = 3

// waitingForPods returns the status while pods of the stopped connector still exist. A source task that is still
// running can commit offsets and overwrite the new ones.
func waitingForPods(
	operation string, current observed.Current, last *connectv1.OffsetsStatus,
) *connectv1.OffsetsStatus {
	status := &connectv1.OffsetsStatus{
		Operation: operation, State: connectv1.OffsetsWaitingForPods, Time: current.Timestamp,
		Message: operation + " starts when no pod of the connector exists",
	}
	pods := current.Pods.Workload
	for i, pod := range pods {
		if i == maxNamedPods {
			status.Message += fmt.Sprintf(", and %d more", len(pods)-i)
			break
		}
		status.Message += []string{": ", ", "}[min(i, 1)] + "pod " + pod.Name
		if pod.Spec.NodeName != "" {
			status.Message += " on node " + pod.Spec.NodeName
		}
	}
	if len(pods) == 0 {
		status.Message += ": waiting for the scale-down of the StatefulSets"
	}
	if last != nil && last.State == status.State && last.Operation == operation {
		status.Time = last.Time
	}
	return status
}

// refuse returns the reason why a request is not valid. It is empty for a valid request.
func refuse(c connectv1.KafkaConnectorSpec, operation string) string {
	operations, alter := []string{contract.OffsetsList, contract.OffsetsAlter, contract.OffsetsReset}, c.AlterOffsets
	switch {
	case !slices.Contains(operations, operation):
		return fmt.Sprintf("annotation %s: %q must be list, alter or reset", contract.ConnectorOffsets, operation)
	case operation != contract.OffsetsList && c.State != connectv1.StateStopped:
		return fmt.Sprintf("%s requires a stopped connector; set spec.state to stopped and request %s again",
			operation, operation)
	case operation == contract.OffsetsAlter && (alter == nil || alter.FromConfigMap.Name == ""):
		return "spec.alterOffsets.fromConfigMap.name is empty; set the name of the ConfigMap whose key " + offsetsKey +
			" holds the new offsets"
	}
	return ""
}

func offsetsStatus(pod *observed.OneShotPod, now metav1.Time) *connectv1.OffsetsStatus {
	status := &connectv1.OffsetsStatus{
		ID: string(pod.UID), Operation: pod.Request,
		State: connectv1.OffsetsDone, Message: pod.Result.Message, Time: now,
	}
	if pod.Result.ExitCode != 0 {
		status.State, status.Message = connectv1.OffsetsFailed, pod.Result.String()
		return status
	}
	var offsets contract.OffsetsResult
	switch err := json.Unmarshal(pod.Result.Result, &offsets); {
	case err != nil && status.Operation == contract.OffsetsList:
		status.Message = "the offsets do not fit into the status; run connect-runner offsets list to read them"
	case err == nil:
		status.Message = cmp.Or(offsets.Message, status.Message)
		for _, o := range offsets.Offsets {
			status.Offsets = append(status.Offsets,
				connectv1.PartitionOffset{Partition: string(o.Partition), Offset: string(o.Offset)})
		}
	}
	return status
}
