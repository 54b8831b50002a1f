package oneshot

import (
	"fmt"
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
func (w *Operations) Fence(set taskset.Set) taskset.Set {
	finding := w.fence(set)
	if finding == nil {
		return set
	}
	set = set.Freeze(*finding)
	set.Fencing = true
	return set
}

func (w *Operations) fence(set taskset.Set) *spec.Finding {
	pod := w.pod(contract.OneShotFence)
	if left := leftovers(w.current); set.ExactlyOnce && left > 0 {
		return &spec.Finding{Reason: connectv1.ReasonFencing, Message: fmt.Sprintf(
			"exactly-once: waiting for %d tasks of a deleted connector of the same name to stop", left)}
	}
	if !set.ReplacesAll() {
		w.cancel(pod)
		return nil
	}
	if left := len(w.current.Pods.Tasks); left > 0 {
		return &spec.Finding{Reason: connectv1.ReasonFencing, Message: fmt.Sprintf(
			"exactly-once: waiting for %d previous tasks to stop before new tasks start", left)}
	}
	producers := max(len(set.Running.Hashes), len(set.Hashes))
	result, failure := w.run(desired.OneShot{
		Operation: contract.OneShotFence, Request: contract.TaskConfigsHash(set.Hashes),
		Args: []string{"offsets", "fence", "--fence-tasks", strconv.Itoa(producers)},
	})
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
func leftovers(current observed.Current) int {
	left := 0
	for _, pod := range current.Pods.Tasks {
		owner := metav1.GetControllerOf(pod)
		if owner != nil && (current.TaskSet == nil || owner.UID != current.TaskSet.UID) {
			left++
		}
	}
	return left
}
