// Package oneshot decides about one-shot pods. A one-shot pod runs one operation of connect-runner: it validates a
// configuration, fences the producers of previous tasks, or reads and changes offsets. Each pod serves one request,
// which an annotation identifies. The pod is deleted when its result has been read. A failed pod is replaced after a
// delay.
package oneshot

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
)

// Operations are the one-shot operations of a connector. Each operation is a method that adds its writes.
type Operations struct {
	Writes
	connector *connectv1.KafkaConnector
	current   observed.Current
	objects   desired.Builder
}

// New returns the operations of a connector. objects builds their pods.
func New(c *connectv1.KafkaConnector, current observed.Current, objects desired.Builder) *Operations {
	return &Operations{connector: c, current: current, objects: objects}
}

// Writes lists the writes for one-shot pods.
type Writes struct {
	// OneShots are pods to create.
	OneShots []*corev1ac.PodApplyConfiguration
	// FinishedOneShots are pods to delete because their result has been read or is obsolete. They are deleted before
	// the pods of OneShots are created, which can have the same names.
	FinishedOneShots []*corev1.Pod
	// Candidates are Secrets for one-shot pods.
	Candidates []*corev1ac.SecretApplyConfiguration
	// WakeAt is the time of the next attempt of a failed operation. It is zero if there is none.
	WakeAt time.Time
}

// Len returns the number of writes.
func (w Writes) Len() int { return len(w.OneShots) + len(w.FinishedOneShots) + len(w.Candidates) }

// The delay between a failed attempt and the next one doubles with each attempt, as the kubelet's delay does.
const (
	firstDelay = 10 * time.Second
	maxDelay   = 5 * time.Minute
)

// run returns the final result of a one-shot operation. Until there is a result it returns nil and creates the pod, or
// first deletes the pod of another request. A failed attempt is repeated; failure then describes it.
func (w *Operations) run(o desired.OneShot) (final *observed.Result, failure string) {
	pod := w.pod(o.Operation)
	switch {
	case pod == nil:
	case pod.DeletionTimestamp != nil:
		return nil, ""
	case pod.Request != o.Request:
		w.FinishedOneShots = append(w.FinishedOneShots, pod.Pod)
		return nil, ""
	case pod.Result == nil || pod.IsFinal:
		return pod.Result, ""
	default:
		next := pod.Ended.Add(delay(pod.Attempt))
		failure = fmt.Sprintf("attempt %d failed: %s; next attempt at %s; to retry now, delete pod %s",
			pod.Attempt, pod.Result, next.UTC().Format(time.RFC3339), pod.Name)
		if w.current.Now.Before(next) {
			w.wakeAt(next)
			return nil, failure
		}
		o.Attempt = pod.Attempt + 1
		w.FinishedOneShots = append(w.FinishedOneShots, pod.Pod)
	}
	w.OneShots = append(w.OneShots, w.objects.OneShotPod(o))
	return nil, failure
}

// pod returns the pod of an operation, or nil.
func (w *Operations) pod(operation string) *observed.OneShotPod {
	return w.current.Pods.OneShots[operation]
}

// cancel deletes the pod of an operation that is no longer needed. The pod may be nil.
func (w *Operations) cancel(pod *observed.OneShotPod) {
	if pod != nil && pod.DeletionTimestamp == nil {
		w.FinishedOneShots = append(w.FinishedOneShots, pod.Pod)
	}
}

func (w *Operations) wakeAt(at time.Time) {
	if w.WakeAt.IsZero() || at.Before(w.WakeAt) {
		w.WakeAt = at
	}
}

// isRetry reports whether a pod repeats a failed attempt.
func isRetry(pod *observed.OneShotPod) bool { return pod != nil && pod.Attempt > 1 }

// delay returns the delay after a failed attempt.
func delay(attempt int) time.Duration {
	if attempt > 6 {
		return maxDelay
	}
	return min(maxDelay, firstDelay<<(attempt-1))
}

// lastError returns the last error of a pod that has not ended, as a suffix of a message.
func lastError(pod *observed.OneShotPod) string {
	if pod == nil || pod.LastError == "" {
		return ""
	}
	return ": " + pod.LastError
}
