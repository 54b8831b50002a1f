package oneshot

import (
	"fmt"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/taskset"
)

// Fence ensures that no previous task of an exactly-once source can write after the new tasks have started: it waits
// until all previous tasks are gone and then fences their producers. Until then it returns the frozen set with
// Fencing.
func Fence(s observed.State, e spec.Effective, set taskset.Set) (Writes, taskset.Set) {
	var w Writes
	finding := w.fence(s, e, set)
	if finding == nil {
		return w, set
	}
	set = set.Freeze(*finding)
	set.Fencing = true
	return w, set
}

func (w *Writes) fence(s observed.State, e spec.Effective, set taskset.Set) *spec.Finding {
	if left := leftovers(s); set.ExactlyOnce && left > 0 {
		return &spec.Finding{Reason: connectv1.ReasonFencing, Message: fmt.Sprintf(
			"exactly-once: waiting for %d tasks of a deleted connector of the same name to stop", left)}
	}
	if !set.ExactlyOnce || slices.Equal(set.Running, set.Hashes) || len(set.Running) == 0 {
		w.cancel(s, contract.OneShotFence)
		return nil
	}
	if left := len(s.Pods.Tasks); left > 0 {
		return &spec.Finding{Reason: connectv1.ReasonFencing, Message: fmt.Sprintf(
			"exactly-once: waiting for %d previous tasks to stop before new tasks start", left)}
	}
	producers := max(len(set.Running), len(set.Hashes))
	result, failure := w.run(s, e, desired.OneShot{
		Operation: contract.OneShotFence, Request: contract.TaskConfigsHash(set.Hashes),
		Args: []string{"offsets", "fence", "--fence-tasks", strconv.Itoa(producers)},
	})
	pod := s.Pods.OneShots[contract.OneShotFence]
	switch {
	case failure != "":
		return &spec.Finding{
			Reason:  connectv1.ReasonFencingFailed,
			Message: "exactly-once: fencing the producers of the previous tasks failed: " + failure,
		}
	case result != nil:
		return nil
	case isRetry(pod):
		return &spec.Finding{Reason: connectv1.ReasonFencingFailed, Message: fmt.Sprintf(
			"exactly-once: fencing the producers of the previous tasks failed: attempt %d is running%s",
			pod.Attempt, lastError(pod))}
	}
	return &spec.Finding{
		Reason:  connectv1.ReasonFencing,
		Message: "exactly-once: fencing the producers of the previous tasks" + lastError(pod),
	}
}

// leftovers returns the number of task pods that another StatefulSet of the same name has created. It has been deleted,
// but its pods have not stopped yet.
func leftovers(s observed.State) int {
	left := 0
	for _, pod := range s.Pods.Tasks {
		owner := metav1.GetControllerOf(pod)
		if owner != nil && (s.Objects.TaskSet == nil || owner.UID != s.Objects.TaskSet.UID) {
			left++
		}
	}
	return left
}
