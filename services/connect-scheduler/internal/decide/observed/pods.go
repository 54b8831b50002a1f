package observed

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/text"
)

// maxError is the maximum length of an error in status, in bytes.
const maxError = 1024

// PodsByIndex returns the pods of one type (contract.TypeConnector or contract.TypeTask) by their index.
func PodsByIndex(pods []*corev1.Pod, podType string) map[int]*corev1.Pod {
	found := map[int]*corev1.Pod{}
	for _, pod := range pods {
		if pod.Labels[contract.LabelType] != podType {
			continue
		}
		if index, ok := PodIndex(pod); ok {
			found[index] = pod
		}
	}
	return found
}

// PodIndex returns the index of a pod in its StatefulSet: the number at the end of its name.
func PodIndex(pod *corev1.Pod) (int, bool) {
	separator := strings.LastIndex(pod.Name, "-")
	digits := pod.Name[separator+1:]
	index, err := strconv.Atoi(digits)
	return index, separator >= 0 && err == nil && strconv.Itoa(index) == digits
}

// OneShotPod returns the pod of a one-shot operation, or nil.
func (s State) OneShotPod(operation string) *corev1.Pod {
	for _, pod := range s.Pods {
		if pod.Labels[contract.LabelType] == contract.TypeOneShot &&
			pod.Name == OneShotName(s.Connector.Name, operation) {
			return pod
		}
	}
	return nil
}

// WorkloadPods returns the pods of the connector and its tasks, sorted by name. It includes pods that are being
// deleted.
func (s State) WorkloadPods() []*corev1.Pod {
	pods := slices.DeleteFunc(slices.Clone(s.Pods), func(pod *corev1.Pod) bool {
		podType := pod.Labels[contract.LabelType]
		return podType != contract.TypeConnector && podType != contract.TypeTask
	})
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	return pods
}

// IsStopped reports whether no pod of the connector or its tasks exists and the StatefulSet controller creates none.
func (s State) IsStopped() bool {
	return len(s.WorkloadPods()) == 0 && isScaledDown(s.Objects.ConnectorSet) && isScaledDown(s.Objects.TaskSet)
}

// isScaledDown reports whether the StatefulSet controller has observed the scale-down to 0 and the end of all pods.
func isScaledDown(set *appsv1.StatefulSet) bool {
	return set == nil || set.Spec.Replicas != nil && *set.Spec.Replicas == 0 &&
		set.Status.ObservedGeneration >= set.Generation && set.Status.Replicas == 0
}

// IsReady reports whether a pod is ready and not being deleted.
func IsReady(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// MainContainer returns the status of the container that runs connect-runner.
func MainContainer(pod *corev1.Pod) corev1.ContainerStatus {
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

// TaskHash returns the hash of the task config for which a pod was created. It is empty if the pod has none.
func TaskHash(pod *corev1.Pod) string {
	index, ok := PodIndex(pod)
	hashes := SplitHashes(pod.Annotations[contract.AnnotationTaskHashes])
	if !ok || index >= len(hashes) {
		return ""
	}
	return hashes[index]
}

// SplitHashes splits the value of contract.AnnotationTaskHashes.
func SplitHashes(annotation string) []string {
	if annotation == "" {
		return nil
	}
	return slices.Clip(strings.Split(annotation, ","))
}

// LastError returns the error with which the container of a pod last ended, or the reason why it cannot start. It is
// empty if there is neither.
func LastError(pod *corev1.Pod) string {
	main := MainContainer(pod)
	for _, ended := range []*corev1.ContainerStateTerminated{main.State.Terminated, main.LastTerminationState.Terminated} {
		if ended == nil || ended.ExitCode == 0 {
			continue
		}
		if termination, ok := contract.ParseTermination(ended.Message); ok {
			return truncate(termination.Reason + ": " + termination.Message)
		}
		if ended.Signal != 0 {
			return truncate(fmt.Sprintf("%s: signal %d", cmp.Or(ended.Reason, "Error"), ended.Signal))
		}
		return truncate(fmt.Sprintf("%s: exit code %d", cmp.Or(ended.Reason, "Error"), ended.ExitCode))
	}
	if waiting := main.State.Waiting; waiting != nil && waiting.Message != "" {
		return truncate(waiting.Reason + ": " + waiting.Message)
	}
	for _, c := range pod.Status.Conditions {
		// A late update of the scheduler can describe the previous pod of the same name. It is ignored once the pod
		// has a node.
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && pod.Spec.NodeName == "" {
			return truncate(c.Reason + ": " + c.Message)
		}
	}
	if pod.Status.Phase == corev1.PodFailed {
		return truncate(strings.TrimSuffix(pod.Status.Reason+": "+pod.Status.Message, ": "))
	}
	return ""
}

func truncate(message string) string { return text.Truncate(text.OneLine(message), maxError) }
