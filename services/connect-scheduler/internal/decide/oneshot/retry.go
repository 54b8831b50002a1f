package oneshot

import (
	"fmt"
	"time"

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
func isFinal(pod *observed.OneShotPod) bool {
	r := pod.Result
	return r.ExitCode == 0 || r.Reason == contract.ReasonConfigInvalid && pod.Operation != contract.OneShotFence
}

// retry replaces a failed pod when its delay is over. It returns a description of the failure and of the next attempt.
func (w *Writes) retry(s observed.State, e spec.Effective, o desired.OneShot, pod *observed.OneShotPod) string {
	next := pod.Ended.Add(delay(pod.Attempt))
	if s.Now.Before(next) {
		w.WakeAt = earliest(w.WakeAt, next)
	} else {
		o.Attempt = pod.Attempt + 1
		w.FinishedOneShots = append(w.FinishedOneShots, pod.Pod)
		w.OneShots = append(w.OneShots, desired.OneShotPod(s, e, o))
	}
	return fmt.Sprintf("attempt %d failed: %s; next attempt at %s; to retry now, delete pod %s",
		pod.Attempt, pod.Result, next.UTC().Format(time.RFC3339), pod.Name)
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

// earliest returns the earlier of two times. A zero time is not a time.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
