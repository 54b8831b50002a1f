package decide

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
)

func TestPlanThatWritesMoreThanProgressIsNotDelayed(t *testing.T) {
	t.Parallel()
	status := func(state connectv1.PodState) connectv1.KafkaConnectorStatus {
		return connectv1.KafkaConnectorStatus{Tasks: []connectv1.TaskStatus{{State: state}}}
	}
	plan := &Plan{Status: status(connectv1.PodStarting), previous: status(connectv1.PodPending)}
	require.True(t, plan.OnlyProgress())
	plan.Mark = []*corev1.Pod{{}}
	require.False(t, plan.OnlyProgress(), "a pod is marked")
	require.False(t, (&Plan{Status: status(connectv1.PodFailed), previous: plan.previous}).OnlyProgress(), "a pod failed")
	require.False(t, (&Plan{Status: plan.previous, previous: plan.previous}).OnlyProgress(), "nothing is written")
}
