package status

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
)

// OnlyProgress reports whether a status differs from the previous one only in pods that start, and in messages about
// them. A message that changes while no pod starts tells users something else, for example what to do about a volume.
func OnlyProgress(before, after connectv1.KafkaConnectorStatus) bool {
	if !startsOnly(podOf(before.Connector), podOf(after.Connector)) ||
		equality.Semantic.DeepEqual(before.Connector, after.Connector) &&
			equality.Semantic.DeepEqual(before.Tasks, after.Tasks) {
		return false
	}
	for _, task := range before.Tasks {
		if !startsOnly(taskOf(before, task.ID), taskOf(after, task.ID)) {
			return false
		}
	}
	return len(before.Tasks) == len(after.Tasks) &&
		equality.Semantic.DeepEqual(withoutProgress(before), withoutProgress(after))
}

// startOrder are the states through which a pod starts. The first one is that of a pod without a status.
var startOrder = []connectv1.PodState{
	"", connectv1.PodAbsent, connectv1.PodPending, connectv1.PodStarting, connectv1.PodRunning,
}

// startsOnly reports whether a pod is the same or has come closer to its start. A pod that stops or fails is no
// progress.
func startsOnly(was, is pod) bool {
	if was.lastError != is.lastError || was.restarts != is.restarts {
		return false
	}
	from, to := slices.Index(startOrder, was.state), slices.Index(startOrder, is.state)
	return was.state == is.state || from >= 0 && from < to
}

// withoutProgress returns a status without the fields that change while pods start.
func withoutProgress(s connectv1.KafkaConnectorStatus) connectv1.KafkaConnectorStatus {
	s.Connector, s.Tasks, s.TasksReady, s.TaskSummary = nil, nil, 0, ""
	s.Conditions = slices.Clone(s.Conditions)
	for i := range s.Conditions {
		s.Conditions[i].Message, s.Conditions[i].LastTransitionTime = "", metav1.Time{}
	}
	return s
}
