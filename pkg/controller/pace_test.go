package controller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPaceDelaysTheSecondActionAndNotTheFirst(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	p := NewPace(time.Second, func() time.Time { return now })
	a, b := Key{Name: "a"}, Key{Name: "b"}
	require.Zero(t, p.Wait(a))
	p.Note(a)
	require.Equal(t, time.Second, p.Wait(a))
	require.Zero(t, p.Wait(b))
	now = now.Add(300 * time.Millisecond)
	require.Equal(t, 700*time.Millisecond, p.Wait(a))
	now = now.Add(700 * time.Millisecond)
	require.Zero(t, p.Wait(a))
	require.Empty(t, p.last, "objects that do not change take no memory")
	p.Note(a)
	now = now.Add(-time.Hour)
	require.Zero(t, p.Wait(a), "a clock that was set back delays nothing")
	p.Note(a)
	p.Forget(a)
	require.Zero(t, p.Wait(a))
}
