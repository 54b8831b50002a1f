package env

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/weir-dev/weir/apis/contract"
)

// Fail writes the status of a simulated pod as a kubelet does after its container failed with a termination message
// of connect-runner.
func Fail(ctx context.Context, kube kubernetes.Interface, namespace, pod string, cause contract.Termination) error {
	message, err := json.Marshal(cause)
	if err != nil {
		return fmt.Errorf("encode the termination message: %w", err)
	}
	return update(ctx, kube, namespace, pod, corev1.ConditionFalse, func(c *corev1.ContainerStatus) {
		c.RestartCount++
		c.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
			Reason: "CrashLoopBackOff", Message: "back-off restarting failed container"}}
		c.LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 1, Reason: "Error", Message: string(message)}}
	})
}

// Recover writes the status of a failed simulated pod as a kubelet does after its container runs again.
func Recover(ctx context.Context, kube kubernetes.Interface, namespace, pod string) error {
	return update(ctx, kube, namespace, pod, corev1.ConditionTrue, func(c *corev1.ContainerStatus) {
		c.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
	})
}

// update changes the first container status of a pod and its Ready conditions.
func update(ctx context.Context, kube kubernetes.Interface, namespace, name string, ready corev1.ConditionStatus,
	change func(*corev1.ContainerStatus)) error {
	pod, err := kube.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read pod %s: %w", name, err)
	}
	if len(pod.Status.ContainerStatuses) == 0 {
		return fmt.Errorf("pod %s has no container status yet", name)
	}
	container := &pod.Status.ContainerStatuses[0]
	container.Ready = ready == corev1.ConditionTrue
	change(container)
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodReady || c.Type == corev1.ContainersReady {
			c.Status, c.LastTransitionTime = ready, metav1.Now()
		}
	}
	if _, err := kube.CoreV1().Pods(namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("update the status of pod %s: %w", name, err)
	}
	return nil
}

// Ready reports whether a pod is Ready and not terminating.
func Ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil
		}
	}
	return false
}
