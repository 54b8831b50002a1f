package fakerunner

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/weir-dev/weir/apis/contract"
)

// Fail gives a simulated pod the status of a pod whose container failed and waits in CrashLoopBackOff.
func Fail(
	ctx context.Context, kube kubernetes.Interface, namespace, pod string, termination contract.Termination,
) error {
	message, err := json.Marshal(termination)
	if err != nil {
		return fmt.Errorf("encode the termination message: %w", err)
	}
	return update(ctx, kube, namespace, pod, func(p *corev1.Pod, c *corev1.ContainerStatus) {
		c.RestartCount++
		c.Ready = false
		c.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
			Reason: "CrashLoopBackOff", Message: "back-off restarting failed container",
		}}
		c.LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 1, Reason: "Error", Message: string(message),
		}}
		setReady(p, corev1.ConditionFalse)
	})
}

// Recover gives a simulated pod that Fail changed the status of a running pod.
func Recover(ctx context.Context, kube kubernetes.Interface, namespace, pod string) error {
	return update(ctx, kube, namespace, pod, func(p *corev1.Pod, c *corev1.ContainerStatus) {
		c.Ready = true
		c.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
		setReady(p, corev1.ConditionTrue)
	})
}

func update(
	ctx context.Context, kube kubernetes.Interface, namespace, name string,
	change func(*corev1.Pod, *corev1.ContainerStatus),
) error {
	pod, err := kube.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read pod %s: %w", name, err)
	}
	if len(pod.Status.ContainerStatuses) == 0 {
		return fmt.Errorf("pod %s has no container status yet", name)
	}
	change(pod, &pod.Status.ContainerStatuses[0])
	if _, err := kube.CoreV1().Pods(namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("update the status of pod %s: %w", name, err)
	}
	return nil
}

func setReady(pod *corev1.Pod, status corev1.ConditionStatus) {
	for i := range pod.Status.Conditions {
		if t := pod.Status.Conditions[i].Type; t == corev1.PodReady || t == corev1.ContainersReady {
			pod.Status.Conditions[i].Status = status
			pod.Status.Conditions[i].LastTransitionTime = metav1.Now()
		}
	}
}
