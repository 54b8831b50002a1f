//go:build linux

package kubelet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
)

// report writes the status of the pod if it has changed.
func (w *worker) report(ctx context.Context) {
	status := w.status()
	if reflect.DeepEqual(status, w.reported) || w.node.lost.Load() {
		return
	}
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		live, err := w.node.client.CoreV1().Pods(w.namespace).Get(ctx, w.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if live.UID != w.pod.UID {
			return nil
		}
		merged := status.DeepCopy()
		merged.Conditions = conditions(live.Status.Conditions, status.Conditions)
		merged.QOSClass = live.Status.QOSClass
		live.Status = *merged
		_, err = w.node.client.CoreV1().Pods(w.namespace).UpdateStatus(ctx, live, metav1.UpdateOptions{})
		return err
	})
	switch {
	case err == nil:
		w.reported = status
	case !apierrors.IsNotFound(err) && ctx.Err() == nil:
		w.node.logf("update the status of pod %s/%s: %v", w.namespace, w.name, err)
	}
}

// status returns the status of the pod, with conditions that have no time yet.
func (w *worker) status() corev1.PodStatus {
	s := corev1.PodStatus{Phase: w.phase(), HostIP: hostIP, StartTime: &w.started}
	s.HostIPs = []corev1.HostIP{{IP: hostIP}}
	if w.network != nil {
		s.PodIP = w.network.address
		s.PodIPs = []corev1.PodIP{{IP: s.PodIP}}
	}
	initialized := true
	for _, c := range w.init {
		initialized = initialized && c.succeeded()
		s.InitContainerStatuses = append(s.InitContainerStatuses, w.containerStatus(c))
	}
	ready := s.Phase == corev1.PodRunning
	for _, c := range w.main {
		ready = ready && c.status.Ready
		s.ContainerStatuses = append(s.ContainerStatuses, w.containerStatus(c))
	}
	for _, c := range []struct {
		kind corev1.PodConditionType
		is   bool
	}{{corev1.PodInitialized, initialized}, {corev1.ContainersReady, ready}, {corev1.PodReady, ready}} {
		condition := corev1.PodCondition{Type: c.kind, Status: corev1.ConditionFalse, Reason: "ContainersNotReady"}
		if c.is {
			condition.Status, condition.Reason = corev1.ConditionTrue, ""
		}
		s.Conditions = append(s.Conditions, condition)
	}
	return s
}

// containerStatus returns the status of a container, with the reason why it cannot be created.
func (w *worker) containerStatus(c *container) corev1.ContainerStatus {
	status := *c.status.DeepCopy()
	if w.problem != nil && status.State.Waiting != nil && status.RestartCount == 0 {
		reason := "ContainerCreating"
		if final := unsupported(""); errors.As(w.problem, &final) {
			reason = "CreateContainerConfigError"
		}
		status.State.Waiting = &corev1.ContainerStateWaiting{Reason: reason, Message: w.problem.Error()}
	}
	return status
}

func (w *worker) phase() corev1.PodPhase {
	policy := w.pod.Spec.RestartPolicy
	for _, c := range w.init {
		if c.status.State.Terminated != nil && !c.succeeded() && policy == corev1.RestartPolicyNever {
			return corev1.PodFailed
		}
		if !c.succeeded() {
			return corev1.PodPending
		}
	}
	terminated, failed, created := 0, false, false
	for _, c := range w.main {
		switch {
		case c.status.State.Terminated != nil && !c.restarts(policy):
			terminated++
			failed = failed || !c.succeeded()
			created = true
		case c.status.State.Waiting == nil, c.status.LastTerminationState.Terminated != nil:
			created = true
		}
	}
	switch {
	case terminated == len(w.main) && failed:
		return corev1.PodFailed
	case terminated == len(w.main):
		return corev1.PodSucceeded
	case created:
		return corev1.PodRunning
	}
	return corev1.PodPending
}

// conditions merges desired conditions into live ones. The transition time changes with the status only.
func conditions(live, desired []corev1.PodCondition) []corev1.PodCondition {
	merged := append([]corev1.PodCondition(nil), live...)
	for _, d := range desired {
		found := false
		for i := range merged {
			if merged[i].Type != d.Type {
				continue
			}
			found = true
			d.LastTransitionTime = merged[i].LastTransitionTime
			if merged[i].Status != d.Status {
				d.LastTransitionTime = metav1.Now()
			}
			d.ObservedGeneration = merged[i].ObservedGeneration
			merged[i] = d
		}
		if !found {
			d.LastTransitionTime = metav1.Now()
			merged = append(merged, d)
		}
	}
	return merged
}

// logf writes a line to the log of the node.
func (n *Node) logf(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f, err := os.OpenFile(filepath.Join(n.dir, "logs", "kubelet.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = fmt.Fprintf(f, "%s %s\n", time.Now().Format(time.RFC3339Nano), fmt.Sprintf(format, args...))
}
