package rollout

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
)

// restartAnnotations are the annotations of a KafkaConnector that request a restart.
var restartAnnotations = []string{contract.Restart, contract.RestartTask}

// Requests returns the pods to mark for a restart and the annotations to remove, for the restarts that annotations on
// the KafkaConnector request. First the pod is marked, then the annotation is removed, then the pod restarts. The pod
// restarts exactly once, even if a step fails and is repeated.
func Requests(s observed.State) (mark []*corev1.Pod, done []string) {
	for _, annotation := range restartAnnotations {
		if _, requested := s.Connector.Annotations[annotation]; !requested {
			continue
		}
		pod := requestedPod(s, annotation)
		if pod == nil || pod.DeletionTimestamp != nil || pod.Annotations[contract.ManualRollingUpdate] == "true" {
			done = append(done, annotation)
			continue
		}
		mark = append(mark, pod)
	}
	return mark, done
}

// requestedPod returns the pod that an annotation selects. It is nil if the value is not valid or the pod does not
// exist.
func requestedPod(s observed.State, annotation string) *corev1.Pod {
	value := s.Connector.Annotations[annotation]
	if annotation == contract.Restart {
		if value != "true" {
			return nil
		}
		return observed.PodsByIndex(s.Pods, contract.TypeConnector)[0]
	}
	id, err := strconv.Atoi(value)
	if err != nil {
		return nil
	}
	return observed.PodsByIndex(s.Pods, contract.TypeTask)[id]
}

// isRequested reports whether an annotation that still exists selects the pod.
func isRequested(s observed.State, pod *corev1.Pod) bool {
	for _, annotation := range restartAnnotations {
		if _, requested := s.Connector.Annotations[annotation]; requested {
			if selected := requestedPod(s, annotation); selected != nil && selected.Name == pod.Name {
				return true
			}
		}
	}
	return false
}
