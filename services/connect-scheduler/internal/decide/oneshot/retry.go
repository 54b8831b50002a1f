package oneshot

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// The delay between a failed attempt and the next one doubles with each attempt, as the kubelet's delay does.
const (
	firstDelay = 10 * time.Second
	maxDelay   = 5 * time.Minute
)

// isFinal reports whether another attempt cannot have another result: the operation succeeded, or the connector plugin
// rejected the configuration. Fencing is always repeated, because no task can start without it.
func (r result) isFinal(operation string) bool {
	return r.exitCode == 0 || r.Reason == contract.ReasonConfigInvalid && operation != contract.OneShotFence
}

// retry replaces a failed pod when its delay is over. It returns a description of the failure and of the next attempt.
func (w *Writes) retry(s observed.State, e spec.Effective, o desired.OneShot, pod *corev1.Pod, failure result) string {
	attempt := attemptOf(pod)
	next := finished(pod).Add(delay(attempt))
	if s.Now.Before(next) {
		w.WakeAt = earliest(w.WakeAt, next)
	} else {
		o.Attempt = attempt + 1
		w.FinishedOneShots = append(w.FinishedOneShots, pod)
		w.OneShots = append(w.OneShots, desired.OneShotPod(s, e, o))
	}
	return fmt.Sprintf("attempt %d failed: %s; next attempt at %s; to retry now, delete pod %s",
		attempt, failure, next.UTC().Format(time.RFC3339), pod.Name)
}

// attemptOf returns the number of the attempt for which a pod was created. The first attempt is 1. The count restarts
// if the previous pod no longer exists when a pod is created.
func attemptOf(pod *corev1.Pod) int {
	attempt, err := strconv.Atoi(pod.Annotations[desired.AnnotationAttempt])
	if err != nil || attempt < 1 {
		return 1
	}
	return attempt
}

// isRetry reports whether a pod repeats a failed attempt.
func isRetry(pod *corev1.Pod) bool { return pod != nil && attemptOf(pod) > 1 }

// finished returns the time at which a pod ended.
func finished(pod *corev1.Pod) time.Time {
	if ended := observed.MainContainer(pod).State.Terminated; ended != nil && !ended.FinishedAt.IsZero() {
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

// delay returns the delay after a failed attempt.
func delay(attempt int) time.Duration {
	if attempt > 6 {
		return maxDelay
	}
	return min(maxDelay, firstDelay<<(attempt-1))
}

// earliest returns the earlier of two times. A zero time is not a time.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
