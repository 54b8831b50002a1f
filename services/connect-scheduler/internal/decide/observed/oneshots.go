package observed

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/weir-dev/weir/apis/contract"
)

// Annotations on one-shot pods.
const (
	// AnnotationRequest identifies the request for which the pod was created.
	AnnotationRequest = "weir.dev/one-shot-request"
	// AnnotationAttempt is the number of the attempt, from 2. The pod of the first attempt has none.
	AnnotationAttempt = "weir.dev/one-shot-attempt"
)

// OneShotPod is the pod of a one-shot operation.
type OneShotPod struct {
	*corev1.Pod
	// Operation is the operation that the pod runs.
	Operation string
	// Request identifies the request for which the pod was created.
	Request string
	// Attempt is the number of the attempt for which the pod was created, from 1. The count restarts if the previous pod
	// no longer exists when a pod is created.
	Attempt int
	// Result is the outcome of the operation. It is nil while the pod runs.
	Result *Result
	// IsFinal is true if the operation has a result and another attempt cannot have another one: it succeeded, or the
	// connector plugin rejected the configuration. Fencing that failed is always repeated, because no task can start
	// without it.
	IsFinal bool
	// Ended is the time at which the pod ended. It has no meaning while the pod runs.
	Ended time.Time
	// LastError is the error with which the container last ended, or the reason why it cannot start. It is empty if there
	// is neither.
	LastError string
}

// Result is the outcome of a one-shot pod that has ended.
type Result struct {
	contract.Termination
	ExitCode int32
}

func (r Result) String() string { return r.Reason + ": " + r.Message }

// isFinal is OneShotPod.IsFinal for the result of an operation.
func (r Result) isFinal(operation string) bool {
	return r.ExitCode == 0 || r.Reason == contract.ReasonConfigInvalid && operation != contract.OneShotFence
}

func newOneShotPod(pod *corev1.Pod) *OneShotPod {
	operation := pod.Labels[contract.LabelOneShot]
	main := containerStatus(pod, operation)
	result := resultOf(pod, main)
	return &OneShotPod{
		Pod: pod, Operation: operation, Request: pod.Annotations[AnnotationRequest], Attempt: attemptOf(pod),
		Result: result, IsFinal: result != nil && result.isFinal(operation),
		Ended: ended(pod, main), LastError: lastError(pod, main),
	}
}

func attemptOf(pod *corev1.Pod) int {
	attempt, err := strconv.Atoi(pod.Annotations[AnnotationAttempt])
	if err != nil || attempt < 1 {
		return 1
	}
	return attempt
}

func resultOf(pod *corev1.Pod, main corev1.ContainerStatus) *Result {
	if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
		return nil
	}
	ended := main.State.Terminated
	if ended == nil {
		return &Result{contract.Termination{
			Reason:  cmp.Or(pod.Status.Reason, "Error"),
			Message: cmp.Or(pod.Status.Message, "the pod ended without a termination message"),
		}, 1}
	}
	termination, ok := contract.ParseTermination(ended.Message)
	if !ok {
		termination = contract.Termination{
			Reason: cmp.Or(ended.Reason, "Error"), Message: fmt.Sprintf("exit code %d", ended.ExitCode),
		}
	}
	return &Result{termination, ended.ExitCode}
}

func ended(pod *corev1.Pod, main corev1.ContainerStatus) time.Time {
	if ended := main.State.Terminated; ended != nil && !ended.FinishedAt.IsZero() {
		return ended.FinishedAt.Time
	}
	// An evicted pod may have no container status.
	last := pod.CreationTimestamp.Time
	for _, c := range pod.Status.Conditions {
		if c.LastTransitionTime.After(last) {
			last = c.LastTransitionTime.Time
		}
	}
	return last
}
