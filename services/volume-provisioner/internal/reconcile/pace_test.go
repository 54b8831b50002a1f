package reconcile

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/controller"
)

func TestPaceDelaysTheSecondWriteAndNotTheFirst(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	p := newPace(time.Second, func() time.Time { return now })
	a, b := controller.Key{Name: "a"}, controller.Key{Name: "b"}
	require.Zero(t, p.wait(a))
	p.note(a)
	require.Equal(t, time.Second, p.wait(a))
	require.Zero(t, p.wait(b))
	now = now.Add(300 * time.Millisecond)
	require.Equal(t, 700*time.Millisecond, p.wait(a))
	now = now.Add(700 * time.Millisecond)
	require.Zero(t, p.wait(a))
	require.Empty(t, p.last, "objects that do not change take no memory")
	p.note(a)
	now = now.Add(-time.Hour)
	require.Zero(t, p.wait(a), "a clock that was set back delays nothing")
	p.note(a)
	p.forget(a)
	require.Zero(t, p.wait(a))
}

func TestPassedMeasuresFromTheFirstCall(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	p, key := newPace(time.Second, func() time.Time { return now }), controller.Key{Name: "a"}
	for _, want := range []bool{false, false, true, true} {
		require.Equal(t, want, p.passed(key))
		now = now.Add(500 * time.Millisecond)
	}
	p.forget(key)
	require.False(t, p.passed(key))
}
