package reconcile

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/controller"
)

func TestPassedMeasuresFromTheFirstCall(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	w, key := newWaits(func() time.Time { return now }), controller.Key{Name: "a"}
	for _, want := range []bool{false, false, true, true} {
		require.Equal(t, want, w.passed(key, time.Second))
		now = now.Add(500 * time.Millisecond)
	}
	w.end(key)
	require.False(t, w.passed(key, time.Second))
}

func TestActivityLastsUntilSomeTimeAfterItsEnd(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	a := newActivity(func() time.Time { return now })
	require.False(t, a.busy(time.Second))
	a.begin()
	a.begin()
	now = now.Add(time.Minute)
	a.end()
	now = now.Add(time.Minute)
	require.True(t, a.busy(time.Second), "one of two has not ended")
	a.end()
	now = now.Add(999 * time.Millisecond)
	require.True(t, a.busy(time.Second))
	now = now.Add(time.Millisecond)
	require.False(t, a.busy(time.Second))
}
