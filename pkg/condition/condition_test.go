package condition_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/pkg/condition"
)

func TestMergeChangesTheTransitionTimeOnlyWithTheStatus(t *testing.T) {
	t.Parallel()
	before := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now := before.Add(time.Hour)
	old := condition.Merge(
		nil,
		[]metav1.Condition{condition.True("Ready", "AllReady", ""), condition.True("Gone", "Old", "")},
		1,
		before,
	)

	merged := condition.Merge(old, []metav1.Condition{condition.True("Ready", "StillReady", "another message")}, 2, now)
	require.Len(t, merged, 1, "a condition that is only in old is dropped")
	require.Equal(t, before, merged[0].LastTransitionTime.UTC(), "the time is unchanged while the status is unchanged")
	require.Equal(t, "StillReady", merged[0].Reason)
	require.EqualValues(t, 2, merged[0].ObservedGeneration)

	merged = condition.Merge(merged, []metav1.Condition{condition.False("Ready", "TaskFailed", "")}, 2, now)
	require.Equal(t, now, merged[0].LastTransitionTime.UTC(), "the time changes with the status")
}

func TestMessagesAreShortenedToTheLimitOfTheAPI(t *testing.T) {
	t.Parallel()
	require.Len(t, condition.Unknown("Ready", "Long", strings.Repeat("x", 40000)).Message, 32768)
}

func TestApplyKeepsAllFields(t *testing.T) {
	t.Parallel()
	merged := condition.Merge(
		nil,
		[]metav1.Condition{condition.False("Ready", "TaskFailed", "task 1 failed")},
		7,
		time.Unix(100, 0),
	)
	applied := condition.Apply(merged)[0]
	require.Equal(t, merged[0], metav1.Condition{
		Type: *applied.Type, Status: *applied.Status, Reason: *applied.Reason, Message: *applied.Message,
		ObservedGeneration: *applied.ObservedGeneration, LastTransitionTime: *applied.LastTransitionTime,
	})
}
