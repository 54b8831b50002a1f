package decide

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/weir-dev/weir/apis/contract"
)

// Restart is a pod that is deleted so that its StatefulSet makes it anew. Why is a clause for people.
type Restart struct {
	Pod *corev1.Pod
	Why string
}

// podIndex is the number of a pod in its StatefulSet, read from the end of its name, however many digits it has.
func podIndex(pod *corev1.Pod) (int, bool) {
	_, digits, found := cutLast(pod.Name, "-")
	index, err := strconv.Atoi(digits)
	return index, found && err == nil && strconv.Itoa(index) == digits
}

func cutLast(s, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(s, separator); i >= 0 {
		return s[:i], s[i+len(separator):], true
	}
	return s, "", false
}

// podsOf are the pods of one kind, by index.
func podsOf(pods []*corev1.Pod, kind string) map[int]*corev1.Pod {
	found := map[int]*corev1.Pod{}
	for _, pod := range pods {
		if pod.Labels[contract.LabelType] != kind {
			continue
		}
		if index, ok := podIndex(pod); ok {
			found[index] = pod
		}
	}
	return found
}

// restartConnector names the connector's pod if it has to restart.
func restartConnector(s State, templateHash string) []Restart {
	pod := podsOf(s.Pods, contract.TypeConnector)[0]
	if pod == nil || pod.DeletionTimestamp != nil {
		return nil
	}
	if why := outdated(s, pod, templateHash, ""); why != "" {
		return []Restart{{pod, why}}
	}
	return nil
}

// restartTasks names the tasks' pods that may be restarted now: only those that have to, broken ones first because nothing
// is lost with them, and never so many that more than maxUnavailable are down.
func restartTasks(s State, e effective, templateHash string, hashes []string) []Restart {
	pods, replicas := podsOf(s.Pods, contract.TypeTask), int(taskReplicas(e, hashes))
	var broken, healthy []Restart
	down := 0
	for id := range replicas {
		pod := pods[id]
		if pod == nil || pod.DeletionTimestamp != nil {
			down++
			continue
		}
		ready := isReady(pod)
		if !ready {
			down++
		}
		why := outdated(s, pod, templateHash, hashes[id])
		switch {
		case why == "":
		case ready:
			healthy = append(healthy, Restart{pod, why})
		default:
			broken = append(broken, Restart{pod, why})
		}
	}
	if len(broken)+len(healthy) == 0 {
		healthy = resizeRestart(s, pods, replicas)
	}
	spare := max(0, maxUnavailable(e.maxUnavailable, replicas)-down)
	return append(broken, healthy[:min(spare, len(healthy))]...)
}

// outdated says why a pod has to restart; empty where it does not.
func outdated(s State, pod *corev1.Pod, templateHash, taskHash string) string {
	switch {
	case pod.Annotations[annotationTemplateHash] != templateHash:
		return "its template or configuration has changed"
	case taskHash != "" && taskHashOf(pod) != taskHash:
		return "its task config has changed"
	case pod.Annotations[contract.ManualRollingUpdate] == "true" && !restartIsRequested(s, pod):
		return "a restart was asked for"
	}
	return ""
}

// taskHashOf is the hash of the task config that a pod was made for.
func taskHashOf(pod *corev1.Pod) string {
	index, ok := podIndex(pod)
	hashes := splitHashes(pod.Annotations[contract.AnnotationTaskHashes])
	if !ok || index >= len(hashes) {
		return ""
	}
	return hashes[index]
}

func maxUnavailable(bound intstr.IntOrString, replicas int) int {
	allowed, err := intstr.GetScaledValueFromIntOrPercent(&bound, replicas, true)
	if err != nil {
		allowed = 1
	}
	return max(1, allowed)
}

// resizeRestart names the one pod whose restart lets a driver without online growth finish to grow the file system: none if
// some pod has started since the claim began to wait for it.
func resizeRestart(s State, pods map[int]*corev1.Pod, replicas int) []Restart {
	if s.Claim == nil || replicas == 0 {
		return nil
	}
	i := slices.IndexFunc(s.Claim.Status.Conditions, func(c corev1.PersistentVolumeClaimCondition) bool {
		return c.Type == corev1.PersistentVolumeClaimFileSystemResizePending && c.Status == corev1.ConditionTrue
	})
	if i < 0 {
		return nil
	}
	for _, pod := range s.Pods {
		if pod.CreationTimestamp.After(s.Claim.Status.Conditions[i].LastTransitionTime.Time) || pod.DeletionTimestamp != nil {
			return nil
		}
	}
	if pod := pods[0]; pod != nil {
		return []Restart{{pod, "the shared volume's file system waits for it to grow"}}
	}
	return nil
}

// requests are the restarts that annotations on the KafkaConnector ask for: which pods are to be marked, and which
// annotations are done with because their pod is marked, or there is none. A pod is marked first, then the annotation goes,
// then the pod is restarted: whatever fails in between, it is restarted exactly once.
func requests(s State) (mark []*corev1.Pod, done []string) {
	for _, annotation := range []string{contract.Restart, contract.RestartTask} {
		if _, asked := s.Connector.Annotations[annotation]; !asked {
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

func requestedPod(s State, annotation string) *corev1.Pod {
	value := s.Connector.Annotations[annotation]
	if annotation == contract.Restart {
		if value != "true" {
			return nil
		}
		return podsOf(s.Pods, contract.TypeConnector)[0]
	}
	id, err := strconv.Atoi(value)
	if err != nil {
		return nil
	}
	return podsOf(s.Pods, contract.TypeTask)[id]
}

func restartIsRequested(s State, pod *corev1.Pod) bool {
	for _, annotation := range []string{contract.Restart, contract.RestartTask} {
		if _, asked := s.Connector.Annotations[annotation]; asked {
			if requested := requestedPod(s, annotation); requested != nil && requested.Name == pod.Name {
				return true
			}
		}
	}
	return false
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil
		}
	}
	return false
}
