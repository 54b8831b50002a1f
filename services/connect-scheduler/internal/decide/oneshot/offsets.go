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
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/taskset"
)

// offsetsKey is the key of the ConfigMap of spec.alterOffsets.
const offsetsKey = "offsets.json"

// Offsets runs the operation of the annotation strimzi.io/connector-offsets. An attempt that failed is repeated while
// the annotation exists. It returns the status of the last
// operation and whether the annotation can be removed.
func Offsets(
	s observed.State, e spec.Effective, tasks taskset.Set,
) (w Writes, status *connectv1.OffsetsStatus, done bool) {
	status = s.Connector.Status.Offsets
	operation, requested := s.Connector.Annotations[contract.ConnectorOffsets]
	pod := s.Pods.OneShots[contract.OneShotOffsets]
	var last *observed.Result
	if pod != nil {
		last = pod.Result
	}
	isRequested := requested && pod != nil && pod.Request == operation
	isRetried := isRequested && last != nil && !isFinal(pod)
	if last != nil && !isRetried && (status == nil || status.ID != string(pod.UID)) {
		status = offsetsStatus(s, pod)
	}
	if !requested {
		w.cancel(s, contract.OneShotOffsets)
		return w, canceled(s, status), false
	}
	if isRequested && !isRetried {
		// The operation has started. It is not refused even if spec.state has changed: see ChangesOffsets.
		return w, status, last != nil
	}
	if refusal := refuse(s, operation); refusal != "" {
		w.cancel(s, contract.OneShotOffsets)
		return w, &connectv1.OffsetsStatus{
			Operation: operation, State: connectv1.OffsetsRefused, Message: refusal, Time: s.Timestamp(),
		}, true
	}
	if operation != contract.OffsetsList && !s.IsStopped() {
		w.cancel(s, contract.OneShotOffsets)
		return w, waitingForPods(s, operation), false
	}
	o := desired.OneShot{
		Operation: contract.OneShotOffsets, Request: operation, Args: []string{"offsets", operation},
	}
	if operation == contract.OffsetsAlter {
		o.ConfigMap = s.Connector.Spec.AlterOffsets.FromConfigMap.Name
		o.Args = append(o.Args, "--offsets", path.Join(desired.InputDir, offsetsKey))
	}
	if producers := previousTasks(s, tasks); operation != contract.OffsetsList && producers > 0 {
		o.Args = append(o.Args, "--fence-tasks", strconv.Itoa(producers))
	}
	if _, failure := w.run(s, e, o); failure != "" {
		return w, &connectv1.OffsetsStatus{
			ID: string(pod.UID), Operation: operation, State: connectv1.OffsetsRetrying, Message: failure,
			Time: metav1.NewTime(pod.Ended).Rfc3339Copy(),
		}, false
	}
	return w, status, false
}

// canceled returns the status after the annotation was removed. An operation that has not ended is canceled.
func canceled(s observed.State, status *connectv1.OffsetsStatus) *connectv1.OffsetsStatus {
	pending := []connectv1.OffsetsState{connectv1.OffsetsWaitingForPods, connectv1.OffsetsRetrying}
	if status == nil || !slices.Contains(pending, status.State) {
		return status
	}
	return &connectv1.OffsetsStatus{
		Operation: status.Operation, State: connectv1.OffsetsCanceled, Time: s.Timestamp(),
		Message: "annotation " + contract.ConnectorOffsets + " was removed before the operation ended",
	}
}

// ChangesOffsets reports whether a one-shot pod that alters or resets offsets can still write. No pod of the connector
// may start meanwhile, even if spec.state is running again.
func ChangesOffsets(s observed.State) bool {
	pod := s.Pods.OneShots[contract.OneShotOffsets]
	return pod != nil && pod.Request != contract.OffsetsList && pod.Result == nil
}

// previousTasks returns the number of tasks whose producers are fenced before offsets change. It is 0 if the
// connector is not an exactly-once source. A task that still runs on an unreachable node cannot commit offsets after
// it is fenced.
func previousTasks(s observed.State, tasks taskset.Set) int {
	if s.TaskConfigs == nil || s.TaskConfigs.Annotations[contract.AnnotationExactlyOnce] != "true" {
		return 0
	}
	published, err := strconv.Atoi(s.TaskConfigs.Annotations[contract.AnnotationTaskCount])
	if err != nil {
		published = 0
	}
	return max(published, len(tasks.Running))
}

// maxNamedPods is the maximum number of pods that the message of OffsetsWaitingForPods names.
const maxNamedPods = 3

// waitingForPods returns the status while pods of the stopped connector still exist. A source task that is still
// running can commit offsets and overwrite the new ones.
func waitingForPods(s observed.State, operation string) *connectv1.OffsetsStatus {
	status := &connectv1.OffsetsStatus{
		Operation: operation, State: connectv1.OffsetsWaitingForPods, Time: s.Timestamp(),
		Message: operation + " starts when no pod of the connector exists",
	}
	pods := s.Pods.Workload
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
	last := s.Connector.Status.Offsets
	if last != nil && last.State == status.State && last.Operation == operation {
		status.Time = last.Time
	}
	return status
}

// refuse returns the reason why a request is not valid. It is empty for a valid request.
func refuse(s observed.State, operation string) string {
	operations := []string{contract.OffsetsList, contract.OffsetsAlter, contract.OffsetsReset}
	alter := s.Connector.Spec.AlterOffsets
	switch {
	case !slices.Contains(operations, operation):
		return fmt.Sprintf("annotation %s: %q must be list, alter or reset", contract.ConnectorOffsets, operation)
	case operation != contract.OffsetsList && s.Connector.Spec.State != connectv1.StateStopped:
		return fmt.Sprintf("%s requires a stopped connector; set spec.state to stopped and request %s again",
			operation, operation)
	case operation == contract.OffsetsAlter && (alter == nil || alter.FromConfigMap.Name == ""):
		return "spec.alterOffsets.fromConfigMap.name is empty; set the name of the ConfigMap whose key " + offsetsKey +
			" holds the new offsets"
	}
	return ""
}

func offsetsStatus(s observed.State, pod *observed.OneShotPod) *connectv1.OffsetsStatus {
	status := &connectv1.OffsetsStatus{
		ID: string(pod.UID), Operation: pod.Request,
		State: connectv1.OffsetsDone, Message: pod.Result.Message, Time: s.Timestamp(),
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
