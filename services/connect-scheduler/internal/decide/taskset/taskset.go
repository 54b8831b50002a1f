// Package taskset reads the task configs that a connector has published.
package taskset

import (
	"fmt"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/condition"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// Set is the set of task configs with which the tasks should run.
type Set struct {
	// Published and Running are the observed task configs and tasks.
	Published observed.Published
	Running   observed.Running
	// Hashes of the task configs, by task id.
	Hashes []string
	// Generation identifies the configuration of the connector, see spec.Effective.
	Generation string
	// Condition is the condition TaskConfigsPublished. If it is not True, Hashes are those of the running tasks.
	Condition metav1.Condition
	// ExactlyOnce is true if the previous tasks have to be stopped and fenced before tasks run with another set.
	ExactlyOnce bool
	// Fencing is true while the previous tasks are stopped and fenced. No task runs.
	Fencing bool
	// Lost is true if the Secret of running tasks was deleted and the connector has not published their configs again.
	// A task pod that starts meanwhile finds no config, so no task is started or restarted.
	Lost bool
	// MembersRemoved is true if the static members of the tasks that the last scale-down deleted are removed.
	MembersRemoved bool
	// Delay is set while the newest change of the task configs does not roll out, see Damp.
	Delay *Delay
	// History is the new value of observed.AnnotationHistory. It is empty before the first change.
	History string
	// isStopped is true if the spec asks for no tasks.
	isStopped bool
	// limit is the maximum number of replicas if isLimited is true.
	limit     int
	isLimited bool
}

// Desired returns the number of tasks that should run according to the spec.
func (t Set) Desired() int {
	switch {
	case t.isStopped:
		return 0
	case t.Delay != nil && t.isLimited:
		return min(len(t.Hashes), t.limit)
	}
	return len(t.Hashes)
}

// Replicas returns the number of tasks that may run now.
func (t Set) Replicas() int {
	switch {
	case t.Fencing:
		return 0
	case t.Lost:
		return min(t.Desired(), t.Running.Replicas)
	case t.isLimited:
		return min(t.Desired(), t.limit)
	}
	return t.Desired()
}

// Limit returns the set with a maximum number of replicas. The lowest limit applies.
func (t Set) Limit(replicas int) Set {
	if t.isLimited {
		replicas = min(replicas, t.limit)
	}
	t.limit, t.isLimited = replicas, true
	return t
}

// ReplacesAll reports whether all running tasks have to stop before tasks run with the set.
func (t Set) ReplacesAll() bool {
	return t.ExactlyOnce && len(t.Running.Hashes) > 0 && !slices.Equal(t.Running.Hashes, t.Hashes)
}

// Freeze returns the set of the running tasks, with the reason why the published set cannot be used.
func (t Set) Freeze(finding spec.Finding) Set {
	t.Hashes = t.Running.Hashes
	t.Condition = condition.False(connectv1.ConditionTaskConfigsPublished, finding.Reason, finding.Message)
	return t
}

// Read returns the published set. If it cannot be used, Read returns the set of the running tasks, so that they are not
// restarted.
func Read(current observed.Current, e spec.Effective) Set {
	set := Set{
		Published: current.Published, Running: current.Running, History: current.Running.History,
		Generation: e.Generation(), isStopped: !e.RunTasks,
	}
	switch {
	case set.Published.Exists:
	case len(set.Running.Hashes) > 0:
		set.Lost = true
		return set.Freeze(*finding(connectv1.ReasonTaskConfigsLost,
			"Secret %s was deleted; waiting for the connector to publish its task configs again; running tasks are unchanged",
			set.Published.Name))
	default:
		return set.Freeze(*finding(
			connectv1.ReasonNotPublishedYet, "waiting for the connector to publish its task configs"))
	}
	hashes, unusable := read(set.Published, e)
	if unusable != nil {
		return set.Freeze(*unusable)
	}
	set.Hashes, set.ExactlyOnce = hashes, set.Published.ExactlyOnce
	set.Condition = condition.True(connectv1.ConditionTaskConfigsPublished, connectv1.ReasonPublished,
		fmt.Sprintf("%d task configs", len(hashes)))
	return set
}

// read returns the hashes of the published task configs, or the reason why they cannot be used.
func read(secret observed.Published, e spec.Effective) ([]string, *spec.Finding) {
	count, err := strconv.Atoi(secret.Annotations[contract.AnnotationTaskCount])
	if err != nil || count < 0 {
		return nil, finding(
			connectv1.ReasonTaskConfigsInconsistent,
			"Secret %s: annotation %s is %q; must be a number of tasks",
			secret.Name,
			contract.AnnotationTaskCount,
			secret.Annotations[contract.AnnotationTaskCount],
		)
	}
	if secret.Annotations[contract.AnnotationGeneration] != e.Generation() {
		return nil, finding(
			connectv1.ReasonTaskConfigsOutdated,
			"waiting for the connector to publish task configs for "+
				"its current configuration; running tasks keep their previous task configs",
		)
	}
	if count > e.TasksMax {
		return nil, finding(connectv1.ReasonTooManyTasks,
			"task count %d exceeds tasks.max %d; raise tasks.max or fix the connector", count, e.TasksMax)
	}
	hashes := make([]string, count)
	for id := range hashes {
		key := contract.TaskConfigKey(id)
		value, ok := secret.Keys[key]
		if !ok {
			return nil, finding(connectv1.ReasonTaskConfigsInconsistent,
				"Secret %s: key %s is missing, but %d task configs are published", secret.Name, key, count)
		}
		if value.Problem != "" {
			return nil, finding(connectv1.ReasonTaskConfigInvalid, "Secret %s: key %s %s", secret.Name, key, value.Problem)
		}
		hashes[id] = value.Hash
	}
	if secret.Annotations[contract.AnnotationTaskConfigsHash] != contract.TaskConfigsHash(hashes) {
		return nil, finding(connectv1.ReasonTaskConfigsInconsistent,
			"Secret %s: the task configs do not match annotation %s; another client changed the Secret",
			secret.Name, contract.AnnotationTaskConfigsHash)
	}
	return hashes, nil
}

func finding(reason, format string, args ...any) *spec.Finding {
	return &spec.Finding{Reason: reason, Message: fmt.Sprintf(format, args...)}
}
