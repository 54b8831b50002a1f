package status

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/pkg/event"
)

// Events returns the events for the changes between two statuses. Each change has one event.
func Events(before, after connectv1.KafkaConnectorStatus) []event.Event {
	var events []event.Event
	if hasFailed(podOf(before.Connector), podOf(after.Connector)) {
		events = append(
			events,
			event.Warning(
				connectv1.ReasonConnectorFailed,
				"Observe",
				"the connector failed: "+after.Connector.LastError,
			),
		)
	}
	for _, task := range after.Tasks {
		was := taskOf(before, task.ID)
		switch is := (pod{task.State, task.Pod, task.LastError, task.Restarts}); {
		case hasFailed(was, is):
			events = append(
				events,
				event.Warning(
					connectv1.ReasonTaskFailed,
					"Observe",
					fmt.Sprintf("task %d failed: %s", task.ID, task.LastError),
				),
			)
		case was.state == connectv1.PodFailed && task.State == connectv1.PodRunning:
			events = append(
				events,
				event.Normal(
					connectv1.ReasonTaskRecovered,
					"Observe",
					fmt.Sprintf("task %d is running again", task.ID),
				),
			)
		}
	}
	if before.TasksDesired != after.TasksDesired && !firstPublished(before, after) {
		events = append(
			events,
			event.Normal(
				connectv1.ReasonScaled,
				"Scale",
				fmt.Sprintf("scaled from %d to %d tasks", before.TasksDesired, after.TasksDesired),
			),
		)
	}
	if o := after.Offsets; o != nil &&
		(before.Offsets == nil || !before.Offsets.Time.Equal(&o.Time) || before.Offsets.ID != o.ID) {
		events = append(events, offsetsEvent(o))
	}
	return append(events, ConditionEvents(before.Conditions, after.Conditions)...)
}

// firstPublished reports whether the event of the first publication already contains the number of tasks.
func firstPublished(before, after connectv1.KafkaConnectorStatus) bool {
	return before.TasksDesired == 0 &&
		meta.IsStatusConditionTrue(after.Conditions, connectv1.ConditionTaskConfigsPublished) &&
		!meta.IsStatusConditionTrue(before.Conditions, connectv1.ConditionTaskConfigsPublished)
}

func offsetsEvent(o *connectv1.OffsetsStatus) event.Event {
	note := fmt.Sprintf("offsets %s: %s: %s", o.Operation, o.State, o.Message)
	switch o.State {
	case connectv1.OffsetsDone, connectv1.OffsetsWaitingForPods, connectv1.OffsetsCanceled:
		return event.Normal(connectv1.ReasonOffsets, "Offsets", note)
	}
	return event.Warning(connectv1.ReasonOffsets, "Offsets", note)
}

// pod holds the fields of a connector or task from which hasFailed detects a failure.
type pod struct {
	state           connectv1.PodState
	name, lastError string
	restarts        int32
}

func podOf(c *connectv1.ConnectorStatus) pod {
	if c == nil {
		return pod{}
	}
	return pod{c.State, c.Pod, c.LastError, c.Restarts}
}

func taskOf(status connectv1.KafkaConnectorStatus, id int32) pod {
	for _, t := range status.Tasks {
		if t.ID == id {
			return pod{t.State, t.Pod, t.LastError, t.Restarts}
		}
	}
	return pod{}
}

// hasFailed reports whether a pod has failed since the previous status, even if it is running again.
func hasFailed(was, is pod) bool {
	return is.state == connectv1.PodFailed && was.state != connectv1.PodFailed ||
		is.lastError != "" && is.name == was.name && is.restarts > was.restarts && is.state != connectv1.PodPending
}

// ConditionEvents returns the events for conditions whose status or reason has changed.
func ConditionEvents(before, after []metav1.Condition) []event.Event {
	var events []event.Event
	for _, c := range after {
		was := meta.FindStatusCondition(before, c.Type)
		if was != nil && was.Status == c.Status && was.Reason == c.Reason {
			continue
		}
		switch {
		case c.Type == connectv1.ConditionConfigValid && c.Status == metav1.ConditionFalse &&
			c.Reason != connectv1.ReasonWaitingForDeletion:
			events = append(events, event.Warning(c.Reason, "Validate", c.Message))
		case c.Type == connectv1.ConditionTaskConfigsPublished && c.Status == metav1.ConditionTrue:
			events = append(events, event.Normal(c.Reason, "Publish", "the connector published "+c.Message))
		case c.Type == connectv1.ConditionTaskConfigsPublished && c.Reason != connectv1.ReasonNotPublishedYet &&
			c.Reason != connectv1.ReasonTaskConfigsOutdated:
			events = append(events, event.Warning(c.Reason, "Publish", c.Message))
		case c.Type == connectv1.ConditionReady && c.Status == metav1.ConditionTrue:
			events = append(events, event.Normal(c.Reason, "Observe", c.Message))
		case c.Type == connectv1.ConditionRolloutBlocked:
			events = append(events, event.Warning(connectv1.ReasonRolloutBlocked, "Rollout", c.Message))
		case c.Type == connectv1.ConditionReconfiguringTooOften:
			events = append(events, event.Warning(c.Reason, "Rollout", c.Message))
		case c.Type == connectv1.ConditionReady && c.Reason == connectv1.ReasonApplyRejected:
			events = append(events, event.Warning(c.Reason, "Apply", c.Message))
		case c.Type == connectv1.ConditionStorageReady && c.Status == metav1.ConditionFalse &&
			c.Reason != connectv1.ReasonClaimPending:
			events = append(events, event.Warning(c.Reason, "Provision", c.Message))
		case c.Type == connectv1.ConditionStorageReady && c.Status == metav1.ConditionTrue:
			events = append(events, event.Normal(c.Reason, "Provision", c.Message))
		}
	}
	return events
}
