package observed

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/text"
)

// maxError is the maximum length of an error in status, in bytes.
const maxError = 1024

// Pods are the pods of a connector, with what decisions read from them. Pods that are being deleted are included.
type Pods struct {
	// Connector is the pod that runs the connector. It is nil if the pod does not exist.
	Connector *Pod
	// Tasks are the pods of the tasks, by task id.
	Tasks map[int]*Pod
	// OneShots are the one-shot pods, by operation.
	OneShots map[string]*OneShotPod
	// Workload are the pods of the connector and its tasks, sorted by name.
	Workload []*Pod
}

// Pod is a pod of a connector or of a task.
type Pod struct {
	*corev1.Pod
	// Index is the index in the StatefulSet: the number at the end of the name. Of the pod of a task it is the task id.
	Index int
	// Ready is true if the pod is ready and not being deleted.
	Ready bool
	// Main is the status of the container that runs connect-runner.
	Main corev1.ContainerStatus
	// TaskHash is the hash of the task config for which the pod was created. It is empty if the pod has none.
	TaskHash string
	// LastError is the error with which the container last ended, or the reason why it cannot start. It is empty if there
	// is neither.
	LastError string
}

// FailsWith reports whether the container last ended with a reason of contract.Termination.
func (p *Pod) FailsWith(reason string) bool { return strings.HasPrefix(p.LastError, reason+": ") }

// NewPods returns the pods of a connector.
func NewPods(connector string, pods []*corev1.Pod) Pods {
	found := Pods{Tasks: map[int]*Pod{}, OneShots: map[string]*OneShotPod{}}
	for _, pod := range pods {
		switch podType := pod.Labels[contract.LabelType]; podType {
		case contract.TypeOneShot:
			// A pod of another connector whose name begins with the same words has another name.
			if o := newOneShotPod(pod); pod.Name == OneShotName(connector, o.Operation) {
				found.OneShots[o.Operation] = o
			}
		case contract.TypeConnector, contract.TypeTask:
			p, isIndexed := newPod(pod)
			found.Workload = append(found.Workload, p)
			switch {
			case isIndexed && podType == contract.TypeTask:
				found.Tasks[p.Index] = p
			case isIndexed && p.Index == 0:
				found.Connector = p
			}
		}
	}
	slices.SortFunc(found.Workload, func(a, b *Pod) int { return cmp.Compare(a.Name, b.Name) })
	return found
}

func newPod(pod *corev1.Pod) (p *Pod, isIndexed bool) {
	main := containerStatus(pod, pod.Labels[contract.LabelType])
	p = &Pod{Pod: pod, Ready: isReady(pod), Main: main, LastError: lastError(pod, main)}
	p.Index, isIndexed = podIndex(pod.Name)
	if hashes := SplitHashes(pod.Annotations[contract.AnnotationTaskHashes]); isIndexed && p.Index < len(hashes) {
		p.TaskHash = hashes[p.Index]
	}
	return p, isIndexed
}

func podIndex(name string) (int, bool) {
	separator := strings.LastIndex(name, "-")
	digits := name[separator+1:]
	index, err := strconv.Atoi(digits)
	return index, separator >= 0 && err == nil && strconv.Itoa(index) == digits
}

func isReady(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func containerStatus(pod *corev1.Pod, name string) corev1.ContainerStatus {
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == name {
			return c
		}
	}
	return corev1.ContainerStatus{}
}

// lastError returns the error with which the container of a pod last ended, or the reason why it cannot start. It is
// empty if there is neither.
func lastError(pod *corev1.Pod, main corev1.ContainerStatus) string {
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
