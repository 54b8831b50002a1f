package rollout

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
)

// restartAnnotations are the annotations of a KafkaConnector that request a restart.
var restartAnnotations = []string{contract.Restart, contract.RestartTask}

// maxRecorded is the maximum length of a value in status.lastRestart. Of a longer value the hash is recorded.
const maxRecorded = 256

// Requested is the result of Requests.
type Requested struct {
	// Mark are the pods to mark for a restart.
	Mark []*corev1.Pod
	// Done are the annotations to remove from the KafkaConnector.
	Done []string
	// LastRestart is the new value of status.lastRestart.
	LastRestart string
}

// Requests carries out the restarts that annotations on the KafkaConnector request. First the pod is marked, then the
// annotation is removed or its value is recorded in the status, then the pod restarts. The pod restarts exactly once,
// even if a step fails and is repeated.
func Requests(s observed.State) Requested {
	r := Requested{LastRestart: s.Connector.Status.LastRestart}
	for _, annotation := range restartAnnotations {
		if !isPending(s, annotation) {
			continue
		}
		pod, value := requestedPod(s, annotation), s.Connector.Annotations[annotation]
		switch {
		case pod != nil && pod.DeletionTimestamp == nil && pod.Annotations[contract.ManualRollingUpdate] != "true":
			r.Mark = append(r.Mark, pod.Pod)
		case annotation == contract.Restart && value != "true":
			r.LastRestart = recorded(value)
		default:
			r.Done = append(r.Done, annotation)
		}
	}
	return r
}

// isPending reports whether an annotation requests a restart that is not done.
func isPending(s observed.State, annotation string) bool {
	value, requested := s.Connector.Annotations[annotation]
	if annotation != contract.Restart || value == "true" {
		return requested
	}
	return value != "" && value != "false" && recorded(value) != s.Connector.Status.LastRestart
}

// recorded returns the form of a value in status.lastRestart.
func recorded(value string) string {
	if len(value) > maxRecorded {
		return contract.TaskConfigHash([]byte(value))
	}
	return value
}

// requestedPod returns the pod that an annotation selects. It is nil if the value is not valid or the pod does not
// exist.
func requestedPod(s observed.State, annotation string) *observed.Pod {
	if annotation == contract.Restart {
		return s.Pods.Connector
	}
	id, err := strconv.Atoi(s.Connector.Annotations[annotation])
	if err != nil {
		return nil
	}
	return s.Pods.Tasks[id]
}

// isRequested reports whether an annotation that has to be removed before the restart selects the pod. A value that
// stays is recorded in the status, which is written before the pods of the same plan restart.
func isRequested(s observed.State, pod *observed.Pod) bool {
	for _, annotation := range restartAnnotations {
		stays := annotation == contract.Restart && s.Connector.Annotations[annotation] != "true"
		if !stays && isPending(s, annotation) {
			if selected := requestedPod(s, annotation); selected != nil && selected.Name == pod.Name {
				return true
			}
		}
	}
	return false
}
