package oneshot

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// offsetsKey is the key of the ConfigMap of spec.alterOffsets.
const offsetsKey = "offsets.json"

// Offsets runs the operation of the annotation strimzi.io/connector-offsets. It returns the status of the last
// operation and whether the annotation can be removed.
func Offsets(s observed.State, e spec.Effective) (w Writes, status *connectv1.OffsetsStatus, done bool) {
	status = s.Connector.Status.Offsets
	if pod := s.OneShotPod(contract.OneShotOffsets); pod != nil {
		if result := resultOf(pod); result != nil && (status == nil || status.ID != string(pod.UID)) {
			status = offsetsStatus(s, pod, *result)
		}
	}
	operation, requested := s.Connector.Annotations[contract.ConnectorOffsets]
	if !requested {
		w.cancel(s, contract.OneShotOffsets)
		return w, status, false
	}
	if refusal := refuse(s, operation); refusal != "" {
		return w, &connectv1.OffsetsStatus{
			Operation: operation, State: connectv1.OffsetsRefused, Message: refusal, Time: s.Timestamp(),
		}, true
	}
	o := desired.OneShot{
		Operation: contract.OneShotOffsets, Request: operation, Args: []string{"offsets", operation},
	}
	if operation == contract.OffsetsAlter {
		o.ConfigMap = s.Connector.Spec.AlterOffsets.FromConfigMap.Name
		o.Args = append(o.Args, "--offsets", path.Join(desired.InputDir, offsetsKey))
	}
	return w, status, w.run(s, e, o) != nil
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

func offsetsStatus(s observed.State, pod *corev1.Pod, r result) *connectv1.OffsetsStatus {
	status := &connectv1.OffsetsStatus{
		ID: string(pod.UID), Operation: pod.Annotations[desired.AnnotationRequest],
		State: connectv1.OffsetsDone, Message: r.Message, Time: s.Timestamp(),
	}
	if r.exitCode != 0 {
		status.State, status.Message = connectv1.OffsetsFailed, r.String()
		return status
	}
	var offsets contract.OffsetsResult
	switch err := json.Unmarshal(r.Result, &offsets); {
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
