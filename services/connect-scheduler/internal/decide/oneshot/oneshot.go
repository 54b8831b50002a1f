// Package oneshot decides about one-shot pods. A one-shot pod runs one operation of connect-runner: it validates a
// configuration, fences the producers of previous tasks, or reads and changes offsets. Each pod serves one request,
// which an annotation identifies. The pod is deleted when its result has been read. A failed pod is replaced after a
// delay.
package oneshot

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

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

// Include adds writes.
func (w *Writes) Include(other Writes) {
	w.OneShots = append(w.OneShots, other.OneShots...)
	w.FinishedOneShots = append(w.FinishedOneShots, other.FinishedOneShots...)
	w.Candidates = append(w.Candidates, other.Candidates...)
	w.WakeAt = earliest(w.WakeAt, other.WakeAt)
}

// Len returns the number of writes.
func (w Writes) Len() int { return len(w.OneShots) + len(w.FinishedOneShots) + len(w.Candidates) }

// run returns the final result of a one-shot operation. Until there is a result it returns nil and creates the pod, or
// first deletes the pod of another request. A failed attempt is repeated; failure then describes it.
func (w *Writes) run(s observed.State, e spec.Effective, o desired.OneShot) (final *observed.Result, failure string) {
	pod := s.Pods.OneShots[o.Operation]
	switch {
	case pod == nil:
		w.OneShots = append(w.OneShots, desired.OneShotPod(s, e, o))
	case pod.DeletionTimestamp != nil:
	case pod.Request != o.Request:
		w.FinishedOneShots = append(w.FinishedOneShots, pod.Pod)
	default:
		if pod.Result == nil || isFinal(pod) {
			return pod.Result, ""
		}
		return nil, w.retry(s, e, o, pod)
	}
	return nil, ""
}

// cancel deletes the pod of an operation that is no longer needed.
func (w *Writes) cancel(s observed.State, operation string) {
	if pod := s.Pods.OneShots[operation]; pod != nil && pod.DeletionTimestamp == nil {
		w.FinishedOneShots = append(w.FinishedOneShots, pod.Pod)
	}
}
