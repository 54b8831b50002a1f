// Package taskset reads the task configs that a connector has published.
package taskset

import (
	"fmt"
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
	// Hashes of the task configs, by task id.
	Hashes []string
	// Running are the hashes of the task configs in the pod template of the tasks' StatefulSet, by task id.
	Running []string
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
	// History is the value of AnnotationHistory. It is empty before the first change.
	History string
	// limit is the maximum number of replicas if isLimited is true.
	limit     int
	isLimited bool
	// replicas is the current number of replicas. It is set if Lost is true.
	replicas int
}

// Desired returns the number of tasks that should run according to the spec.
func (t Set) Desired(e spec.Effective) int {
	switch {
	case !e.RunTasks:
		return 0
	case t.Delay != nil && t.isLimited:
		return min(len(t.Hashes), t.limit)
	}
	return len(t.Hashes)
}

// Replicas returns the number of tasks that may run now.
func (t Set) Replicas(e spec.Effective) int {
	switch {
	case t.Fencing:
		return 0
	case t.Lost:
		return min(t.Desired(e), t.replicas)
	case t.isLimited:
		return min(t.Desired(e), t.limit)
	}
	return t.Desired(e)
}

// Limit returns the set with a maximum number of replicas. The lowest limit applies.
func (t Set) Limit(replicas int) Set {
	if t.isLimited {
		replicas = min(replicas, t.limit)
	}
	t.limit, t.isLimited = replicas, true
	return t
}

// IsSink reports whether the connector has published that it is a sink.
func IsSink(s observed.State) bool {
	return s.TaskConfigs != nil &&
		s.TaskConfigs.Annotations[contract.AnnotationConnectorType] == contract.ConnectorTypeSink
}

// Freeze returns the set of the running tasks, with the reason why the published set cannot be used.
func (t Set) Freeze(finding spec.Finding) Set {
	t.Hashes, t.Condition = t.Running, notPublished(finding.Reason, finding.Message)
	return t
}

// Read returns the published set. If it cannot be used, Read returns the set of the running tasks, so that they are not
// restarted.
func Read(s observed.State, e spec.Effective) Set {
	current := Set{Running: running(s)}
	if set, isLost := current.lost(s); isLost {
		return set
	}
	hashes, finding := read(s, e)
	if finding != nil {
		return current.Freeze(*finding)
	}
	return Set{
		Hashes: hashes, Running: current.Running,
		Condition: condition.True(connectv1.ConditionTaskConfigsPublished, connectv1.ReasonPublished,
			fmt.Sprintf("%d task configs", len(hashes))),
		ExactlyOnce: s.TaskConfigs.Annotations[contract.AnnotationExactlyOnce] == "true",
	}
}

// read returns the hashes of the published task configs, or the reason why they cannot be used.
func read(s observed.State, e spec.Effective) ([]string, *spec.Finding) {
	secret, name := s.TaskConfigs, observed.TasksName(s.Connector.Name)
	if !IsPublished(s) {
		return nil, &spec.Finding{
			Reason:  connectv1.ReasonNotPublishedYet,
			Message: "waiting for the connector to publish its task configs",
		}
	}
	count, err := strconv.Atoi(secret.Annotations[contract.AnnotationTaskCount])
	if err != nil || count < 0 {
		return nil, finding(
			connectv1.ReasonTaskConfigsInconsistent,
			"Secret %s: annotation %s is %q; must be a number of tasks",
			name,
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
				"Secret %s: key %s is missing, but %d task configs are published", name, key, count)
		}
		if value.Problem != "" {
			return nil, finding(connectv1.ReasonTaskConfigInvalid, "Secret %s: key %s %s", name, key, value.Problem)
		}
		hashes[id] = value.Hash
	}
	if secret.Annotations[contract.AnnotationTaskConfigsHash] != contract.TaskConfigsHash(hashes) {
		return nil, finding(connectv1.ReasonTaskConfigsInconsistent,
			"Secret %s: the task configs do not match annotation %s; another client changed the Secret",
			name, contract.AnnotationTaskConfigsHash)
	}
	return hashes, nil
}

func finding(reason, format string, args ...any) *spec.Finding {
	return &spec.Finding{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func notPublished(reason, message string) metav1.Condition {
	return condition.False(connectv1.ConditionTaskConfigsPublished, reason, message)
}

func running(s observed.State) []string {
	if s.Ownership(s.Objects.TaskSet) != observed.Owned {
		return nil
	}
	return observed.SplitHashes(s.Objects.TaskSet.Spec.Template.Annotations[contract.AnnotationTaskHashes])
}
