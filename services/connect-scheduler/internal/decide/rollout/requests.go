package rollout

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
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
	// waiting are the pods of annotations that have to be removed before the pods restart. A value that stays is recorded
	// in the status, which is written before the pods of the same plan restart.
	waiting []*observed.Pod
}

// cause returns the cause to restart a pod that is marked. It is empty for other pods.
func (r Requested) cause(pod *observed.Pod) string {
	if pod.Annotations[contract.ManualRollingUpdate] != "true" || slices.Contains(r.waiting, pod) {
		return ""
	}
	return causeRequest
}

// Requests carries out the restarts that annotations on the KafkaConnector request. First the pod is marked, then the
// annotation is removed or its value is recorded in the status, then the pod restarts. The pod restarts exactly once,
// even if a step fails and is repeated.
func Requests(c *connectv1.KafkaConnector, pods observed.Pods) Requested {
	r := Requested{LastRestart: c.Status.LastRestart}
	for _, annotation := range restartAnnotations {
		if !isPending(c, annotation) {
			continue
		}
		value := c.Annotations[annotation]
		pod := requestedPod(pods, annotation, value)
		stays := annotation == contract.Restart && value != "true"
		if pod != nil && !stays {
			r.waiting = append(r.waiting, pod)
		}
		switch {
		case pod != nil && pod.DeletionTimestamp == nil && pod.Annotations[contract.ManualRollingUpdate] != "true":
			r.Mark = append(r.Mark, pod.Pod)
		case stays:
			r.LastRestart = recorded(value)
		default:
			r.Done = append(r.Done, annotation)
		}
	}
	return r
}

// isPending reports whether an annotation requests a restart that is not done.
func isPending(c *connectv1.KafkaConnector, annotation string) bool {
	value, requested := c.Annotations[annotation]
	if annotation != contract.Restart || value == "true" {
		return requested
	}
	return value != "" && value != "false" && recorded(value) != c.Status.LastRestart
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
func requestedPod(pods observed.Pods, annotation, value string) *observed.Pod {
	if annotation == contract.Restart {
		return pods.Connector
	}
	id, err := strconv.Atoi(value)
	if err != nil {
		return nil
	}
	return pods.Tasks[id]
}
