package rollout

import (
	"slices"
	"time"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/taskset"
)

// restartTimeout is the time after which a pod that a rollout has restarted no longer counts, even if it is not ready.
const restartTimeout = 10 * time.Minute

// Budget is the use of the limit of pods that restart at the same time. It is empty without a limit.
type Budget struct {
	// Restarting is the new value of status.restarting.
	Restarting []connectv1.RestartingPod
	// Failing is the number of entries of Restarting whose new pod fails.
	Failing int
	// Waiting is the number of pods that wait until other pods are ready.
	Waiting int
	// Whole is true if the pods can only restart together.
	Whole bool
	// RecheckAt is the time at which an entry no longer counts. It is zero if there is none.
	RecheckAt time.Time

	limited bool
	free    int
	current observed.Current
}

// NewBudget returns the budget with the entries of status.restarting that still count. limit is nil without a limit.
func NewBudget(limit *observed.Budget, restarting []connectv1.RestartingPod, current observed.Current) *Budget {
	b := &Budget{limited: limit != nil, current: current}
	if !b.limited {
		return b
	}
	b.free = limit.Free
	pods := current.Pods.Workload
	for _, entry := range restarting {
		ends := entry.Since.Add(restartTimeout)
		if !ends.After(current.Now) {
			continue
		}
		i := slices.IndexFunc(pods, func(pod *observed.Pod) bool { return pod.Name == entry.Pod })
		if i >= 0 && pods[i].UID != entry.UID {
			if pods[i].Ready {
				continue
			}
			if pods[i].LastError != "" {
				b.Failing++
			}
		}
		b.Restarting = append(b.Restarting, entry)
		if b.RecheckAt.IsZero() || ends.Before(b.RecheckAt) {
			b.RecheckAt = ends
		}
	}
	return b
}

// take returns the restarts that the budget allows, in their order. Restarts that need no budget are always allowed.
func (b *Budget) take(restarts []Restart) []Restart {
	if !b.limited {
		return restarts
	}
	var allowed []Restart
	for _, r := range restarts {
		switch {
		case !needsBudget(r) || b.has(r.Pod):
		case b.free > 0:
			b.add(r.Pod)
		default:
			b.Waiting++
			continue
		}
		allowed = append(allowed, r)
	}
	return allowed
}

// TakeAll reports whether all tasks of an exactly-once source may stop at the same time, so that another set of task
// configs can be used. A set that has begun to stop needs no budget.
func (b *Budget) TakeAll(set taskset.Set) bool {
	if !b.limited || !set.ReplacesAll() || set.Running.Replicas == 0 {
		return true
	}
	var pods []*observed.Pod
	for _, pod := range b.current.Pods.Tasks {
		switch {
		case pod.DeletionTimestamp != nil || b.has(pod):
			return true
		case pod.Ready:
			pods = append(pods, pod)
		}
	}
	if len(pods) > b.free {
		b.Waiting, b.Whole = len(pods), true
		return false
	}
	slices.SortFunc(pods, func(a, b *observed.Pod) int { return a.Index - b.Index })
	for _, pod := range pods {
		b.add(pod)
	}
	return true
}

// release removes entries of pods that exist unchanged and do not restart any more, for example after a revert.
func (b *Budget) release(restarts []Restart, stopsAll bool) {
	pods := b.current.Pods.Workload
	b.Restarting = slices.DeleteFunc(b.Restarting, func(entry connectv1.RestartingPod) bool {
		i := slices.IndexFunc(pods, func(pod *observed.Pod) bool { return pod.UID == entry.UID })
		return i >= 0 && pods[i].DeletionTimestamp == nil && !stopsAll &&
			!slices.ContainsFunc(restarts, func(r Restart) bool { return r.Pod.UID == entry.UID })
	})
}

func (b *Budget) has(pod *observed.Pod) bool {
	return slices.ContainsFunc(b.Restarting, func(entry connectv1.RestartingPod) bool { return entry.UID == pod.UID })
}

func (b *Budget) add(pod *observed.Pod) {
	b.free--
	// The previous pod of the same name may still count.
	b.Restarting = slices.DeleteFunc(b.Restarting, func(entry connectv1.RestartingPod) bool {
		return entry.Pod == pod.Name
	})
	b.Restarting = append(b.Restarting, connectv1.RestartingPod{Pod: pod.Name, UID: pod.UID, Since: b.current.Timestamp})
	if ends := b.current.Timestamp.Add(restartTimeout); b.RecheckAt.IsZero() || ends.Before(b.RecheckAt) {
		b.RecheckAt = ends
	}
}

// needsBudget reports whether a restart makes a pod unavailable because of a rollout.
func needsBudget(r Restart) bool {
	return r.Pod.Ready && (r.Cause == causeTemplate || r.Cause == causeTaskConfig)
}
