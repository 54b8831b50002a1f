package status

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/condition"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/taskset"
)

// RestartLimitReached is the message of the reason with the same name. It has no numbers, because they would change the
// status with each pod of another connector.
const RestartLimitReached = "pods with an outdated configuration wait, because the maximum number of pods restarts " +
	"at the same time (--max-restarting-pods of connect-scheduler); running pods are unchanged"

func conditions(
	c *connectv1.KafkaConnector, in Input, status connectv1.KafkaConnectorStatus,
) []metav1.Condition {
	all := []metav1.Condition{
		ready(in, status),
		configValid(c, in),
		published(in.Tasks, status),
		degraded(status),
		paused(c.Spec.State),
	}
	if in.Rollout.Blocked != "" {
		all = append(all, condition.True(
			connectv1.ConditionRolloutBlocked, connectv1.ReasonTasksFailed, in.Rollout.Blocked))
	}
	if delay := in.Tasks.Delay; delay != nil {
		all = append(all, condition.True(connectv1.ConditionReconfiguringTooOften, connectv1.ReasonTaskConfigsDelayed,
			fmt.Sprintf("the connector has changed its task configs %s with less than 10 minutes between changes; "+
				"the newest change (%s) rolls out at %s; running tasks keep their previous task configs until then",
				counted(delay.Changes+1, "time"), counted(delay.Tasks, "task config"),
				delay.Until.UTC().Format(time.RFC3339))))
	}
	if in.Storage != nil {
		all = append(all, *in.Storage)
	}
	return all
}

// counted returns a number with a noun in the singular or plural.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// IsDelayed reports whether a status tells that a change of task configs is delayed.
func IsDelayed(status connectv1.KafkaConnectorStatus) bool {
	return meta.IsStatusConditionTrue(status.Conditions, connectv1.ConditionReconfiguringTooOften)
}

func configValid(c *connectv1.KafkaConnector, in Input) metav1.Condition {
	if in.Finding == nil {
		return condition.True(connectv1.ConditionConfigValid, connectv1.ReasonAccepted,
			"the spec and the objects that it references are valid"+overridden(c.Spec))
	}
	message := in.Finding.Message
	if in.IsSecretLost {
		message += fmt.Sprintf("; the Secret %s with the configuration of the running pods was deleted: pods that restart "+
			"wait until the spec is corrected or reverted", observed.ConnectorName(c.Name))
	}
	if in.Finding.Reason == connectv1.ReasonValidating {
		return condition.Unknown(connectv1.ConditionConfigValid, in.Finding.Reason, message)
	}
	return condition.False(connectv1.ConditionConfigValid, in.Finding.Reason, message)
}

// overridden describes a tasks.max that has no effect, as a suffix of a message.
func overridden(c connectv1.KafkaConnectorSpec) string {
	own := c.ConnectorConfig["tasks.max"]
	if own == "" || c.TasksMax == nil || own == strconv.Itoa(int(*c.TasksMax)) {
		return ""
	}
	return fmt.Sprintf("; spec.tasksMax %d, which kubectl scale sets, overrides tasks.max %s of connectorConfig; "+
		"remove one of them", *c.TasksMax, own)
}

// published returns the condition of the task set. If the connector reports that its task configs are too large, the
// condition has the connector's message.
func published(set taskset.Set, status connectv1.KafkaConnectorStatus) metav1.Condition {
	reason, message, _ := strings.Cut(status.Connector.LastError, ": ")
	if set.Condition.Status != metav1.ConditionTrue && reason == contract.ReasonTaskConfigsTooLarge {
		return condition.False(connectv1.ConditionTaskConfigsPublished, connectv1.ReasonTaskConfigsTooLarge, message)
	}
	return set.Condition
}

func degraded(status connectv1.KafkaConnectorStatus) metav1.Condition {
	failed := failedTasks(status)
	switch {
	case status.Connector.State == connectv1.PodFailed:
		return condition.True(connectv1.ConditionDegraded, connectv1.ReasonConnectorFailed,
			"the connector failed: "+status.Connector.LastError)
	case len(failed) > 0:
		return condition.True(connectv1.ConditionDegraded, connectv1.ReasonTasksFailed, describe(failed))
	}
	return condition.False(connectv1.ConditionDegraded, connectv1.ReasonNoFailures, "")
}

// describe lists failed tasks with the error of the first one.
func describe(failed []connectv1.TaskStatus) string {
	ids := make([]string, len(failed))
	for i, t := range failed {
		ids[i] = fmt.Sprint(t.ID)
	}
	noun := "task "
	if len(ids) > 1 {
		noun = "tasks "
	}
	return noun + strings.Join(ids, ", ") + " failed: " + failed[0].LastError
}

func paused(state connectv1.ConnectorState) metav1.Condition {
	switch state {
	case connectv1.StatePaused:
		return condition.True(connectv1.ConditionPaused, connectv1.ReasonPaused,
			"spec.state is paused: the connector runs without tasks")
	case connectv1.StateStopped:
		return condition.True(connectv1.ConditionPaused, connectv1.ReasonStopped,
			"spec.state is stopped: neither the connector nor its tasks run")
	}
	return condition.False(connectv1.ConditionPaused, connectv1.ReasonNotPaused, "")
}

func ready(in Input, status connectv1.KafkaConnectorStatus) metav1.Condition {
	notReady := func(reason, message string) metav1.Condition {
		return condition.False(connectv1.ConditionReady, reason, message)
	}
	degraded, set, storage := degraded(status), in.Tasks.Condition, storageProblem(in.Storage)
	switch {
	case in.Finding != nil:
		return notReady(in.Finding.Reason, in.Finding.Message)
	case in.Rollout.Blocked != "":
		return notReady(connectv1.ReasonRolloutBlocked, in.Rollout.Blocked)
	case degraded.Status == metav1.ConditionTrue:
		return notReady(degraded.Reason, degraded.Message)
	case slices.Contains([]connectv1.ConnectorPhase{
		connectv1.PhasePaused, connectv1.PhaseStopping, connectv1.PhaseStopped}, status.State):
		return scaledDown(status)
	case storage != nil && status.State != connectv1.PhaseRunning:
		return notReady(storage.Reason, storage.Message)
	case status.Connector.State != connectv1.PodRunning:
		return notReady(connectv1.ReasonStarting, strings.TrimSuffix(
			"the connector pod is "+strings.ToLower(
				string(status.Connector.State),
			)+": "+status.Connector.LastError,
			": ",
		))
	case set.Status != metav1.ConditionTrue:
		return notReady(set.Reason, set.Message)
	case in.Budget.Waiting > 0:
		return notReady(connectv1.ReasonRestartLimitReached, RestartLimitReached)
	case in.Rollout.Outdated > 0:
		return notReady(connectv1.ReasonRolling, "replacing pods that have an outdated configuration")
	case status.State != connectv1.PhaseRunning:
		return notReady(connectv1.ReasonStarting, status.TaskSummary+" tasks are ready"+firstError(status))
	}
	if status.TasksDesired == 0 {
		return condition.True(connectv1.ConditionReady, connectv1.ReasonNoTasks,
			"the connector is ready and has published no task configs, so no task runs")
	}
	return condition.True(connectv1.ConditionReady, connectv1.ReasonAllRunning, status.TaskSummary+" tasks are ready")
}

// scaledDown returns the condition Ready of a connector that is paused or stopped.
func scaledDown(status connectv1.KafkaConnectorStatus) metav1.Condition {
	stopping := len(status.Tasks)
	if status.State == connectv1.PhaseStopping && status.Connector.State != connectv1.PodAbsent {
		stopping++
	}
	switch {
	case stopping > 0:
		return condition.False(connectv1.ConditionReady, connectv1.ReasonStarting,
			fmt.Sprintf("waiting for %d pods to stop", stopping))
	case status.State == connectv1.PhaseStopping:
		return condition.False(connectv1.ConditionReady, connectv1.ReasonStarting,
			"waiting for the scale-down of the StatefulSets")
	}
	return condition.True(connectv1.ConditionReady, string(status.State), "the pods match spec.state")
}

func firstError(status connectv1.KafkaConnectorStatus) string {
	for _, t := range status.Tasks {
		if t.State != connectv1.PodRunning && t.LastError != "" {
			return fmt.Sprintf("; task %d: %s", t.ID, t.LastError)
		}
	}
	return ""
}
