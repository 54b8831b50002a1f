package oneshot

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/taskset"
)

// maxMemberAttempts is the number of attempts to remove members. Later attempts are useless: the session of a member
// that has stopped expires.
const maxMemberAttempts = 3

// Members removes the static members of the tasks that a scale-down has deleted from the consumer group of a sink.
// Otherwise their partitions would have no consumer until the sessions expire. It waits until the pods of these tasks
// are gone. While the members are removed, none of these tasks starts again, so the set can have a limit.
func (w *Operations) Members(set taskset.Set) taskset.Set {
	remaining, previous := len(set.Running.Hashes), set.Running.Previous
	pod := w.pod(contract.OneShotMembers)
	if pod != nil && pod.Result == nil {
		// A canceled pod can remove members until it has stopped.
		kept, _, _ := strings.Cut(pod.Request, "-")
		if limit, err := strconv.Atoi(kept); err == nil && limit < len(set.Hashes) {
			set = set.Limit(limit)
		}
	}
	if previous <= remaining || remaining != len(set.Hashes) {
		w.cancel(pod)
		return set
	}
	for id := range w.current.Pods.Tasks {
		if id >= remaining {
			return set
		}
	}
	request := fmt.Sprintf("%d-%d", remaining, previous)
	if pod != nil && pod.Request == request && pod.Attempt >= maxMemberAttempts && pod.Result != nil {
		set.MembersRemoved = true
		return set
	}
	result, _ := w.run(desired.OneShot{
		Operation: contract.OneShotMembers, Request: request,
		Args: []string{
			"members", "remove",
			"--remaining-tasks", strconv.Itoa(remaining), "--previous-tasks", strconv.Itoa(previous),
		},
	})
	set.MembersRemoved = result != nil
	return set
}
