package oneshot_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

// attempts decides at the time of each next attempt and returns the delays until all one-shot pods have failed n times.
func attempts(s *decidetest.Env, n int) []time.Duration {
	var delays []time.Duration
	for range n {
		s.Settle()
		plan := s.Step()
		require.True(s, plan.Empty())
		wait := plan.RequeueAfter
		require.Positive(s, wait, "the next attempt is scheduled")
		delays = append(delays, wait)
		s.State.Now = s.State.Now.Add(wait)
	}
	return delays
}

func TestFailedValidationIsRepeatedWithExponentialBackoff(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(1)...)
	s.Termination = refused(contract.ReasonOutOfMemory, `{}`)
	s.State.Connector.Spec.ConnectorConfig["kafka.topic"] = "other"
	require.Equal(t, []time.Duration{
		10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second,
		5 * time.Minute, 5 * time.Minute, 5 * time.Minute,
	}, attempts(s, 8))
	valid := decidetest.Condition(t, s.State.Connector.Status.Conditions, connectv1.ConditionConfigValid)
	require.Equal(t, connectv1.ReasonValidationFailed, valid.Reason)
	require.Equal(t, "validation of the new connectorConfig failed; running pods are unchanged: attempt 8 failed: "+
		"OutOfMemory: no; next attempt at 2026-05-04T12:20:10Z; to retry now, delete pod test-validate", valid.Message)

	s.Step()
	s.OneShot(contract.OneShotValidate).Status = corev1.PodStatus{Phase: corev1.PodRunning}
	s.Settle()
	valid = decidetest.Condition(t, s.State.Connector.Status.Conditions, connectv1.ConditionConfigValid)
	require.Equal(t, connectv1.ReasonValidationFailed, valid.Reason, "the reason does not change with each attempt")
	require.Contains(t, valid.Message, "attempt 9 is running")

	s.Termination = nil
	s.Remove("test-validate")
	s.Settle()
	valid = decidetest.Condition(t, s.State.Connector.Status.Conditions, connectv1.ConditionConfigValid)
	require.Equal(t, connectv1.ReasonAccepted, valid.Reason)
	require.Nil(t, s.OneShot(contract.OneShotValidate))
}

func TestRejectedConfigurationIsNotValidatedAgain(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(1)...)
	s.Termination = refused(contract.ReasonConfigInvalid, `{"errors":{"kafka.topic":["must be a name"]}}`)
	s.State.Connector.Spec.ConnectorConfig["kafka.topic"] = "other"
	s.Settle()
	s.State.Now = s.State.Now.Add(time.Hour)
	plan := s.Step()
	require.True(t, plan.Empty())
	require.Zero(t, plan.RequeueAfter)
}

func TestFailedFenceIsRepeatedUntilItSucceeds(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(2)...)
	s.Termination = refused(contract.ReasonConfigInvalid, `{}`)
	s.State.TaskConfigs = exactlyOnce(decidetest.Published(s.State.Connector, "new-0", "new-1"))
	require.Equal(t, []time.Duration{10 * time.Second, 20 * time.Second}, attempts(s, 2))
	published := decidetest.Condition(
		t, s.State.Connector.Status.Conditions, connectv1.ConditionTaskConfigsPublished)
	require.Equal(t, connectv1.ReasonFencingFailed, published.Reason)
	require.Contains(t, published.Message, "attempt 2 failed: ConfigInvalid: no; next attempt at 2026-05-04T12:00:30Z")
	require.Zero(t, s.State.Connector.Status.TasksReady)

	s.Termination = nil
	s.Settle()
	require.Equal(t, "2/2", s.State.Connector.Status.TaskSummary)
	require.Nil(t, s.OneShot(contract.OneShotFence))
}

func TestFailedOperationOnOffsetsIsRepeatedUntilItIsCanceled(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]struct {
		change func(*decidetest.Env)
		state  connectv1.OffsetsState
	}{
		"succeeds":    {func(s *decidetest.Env) { s.Termination = nil }, connectv1.OffsetsDone},
		"is canceled": {func(s *decidetest.Env) { s.State.Connector.Annotations = nil }, connectv1.OffsetsCanceled},
		"is refused": {func(s *decidetest.Env) { s.State.Connector.Spec.State = connectv1.StateRunning },
			connectv1.OffsetsRefused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := stopping(t)
			s.Step()
			s.RunPods()
			s.Termination = refused(contract.ReasonOutOfMemory, `{}`)
			require.Equal(t, []time.Duration{10 * time.Second, 20 * time.Second}, attempts(s, 2))
			status := s.State.Connector.Status.Offsets
			require.Equal(t, connectv1.OffsetsRetrying, status.State)
			require.Contains(t, status.Message, "attempt 2 failed: OutOfMemory: no; next attempt at 2026-05-04T12:00:30Z")
			require.NotEmpty(t, s.State.Connector.Annotations)
			end.change(s)
			s.Settle()
			require.Equal(t, end.state, s.State.Connector.Status.Offsets.State)
			require.Empty(t, s.State.Connector.Annotations)
			require.Nil(t, s.OneShot(contract.OneShotOffsets))
		})
	}
}

func TestEvictedOneShotPodIsRepeated(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), decidetest.Hashes(1)...)
	s.State.Connector.Spec.ConnectorConfig["kafka.topic"] = "other"
	s.Step()
	evicted := metav1.NewTime(decidetest.Noon.Add(time.Minute))
	s.OneShot(contract.OneShotValidate).Status = corev1.PodStatus{
		Phase: corev1.PodFailed, Reason: "Evicted", Message: "the node was low on memory",
		Conditions: []corev1.PodCondition{{Type: corev1.DisruptionTarget, LastTransitionTime: evicted}},
	}
	s.State.Now = evicted.Time
	plan := s.Step()
	require.Equal(t, 10*time.Second, plan.RequeueAfter)
	require.Contains(t, decidetest.Condition(t, plan.Status.Conditions, connectv1.ConditionConfigValid).Message,
		"attempt 1 failed: Evicted: the node was low on memory; next attempt at 2026-05-04T12:01:10Z")
}
