package runner

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// publishTimes returns the times at which a connector's changes are published that changes every interval for a time.
func publishTimes(interval, duration time.Duration) (times []time.Duration) {
	start := time.Unix(0, 0)
	var d damper
	for at := time.Duration(0); at < duration; at += interval {
		if d.wait(start.Add(at)) == 0 {
			d.published(start.Add(at))
			times = append(times, at)
		}
	}
	return times
}

func TestFrequentChangesAreDampedExponentially(t *testing.T) {
	const s = time.Second
	require.Equal(t, []time.Duration{0, 1 * s, 3 * s, 7 * s, 15 * s}, publishTimes(500*time.Millisecond, 20*s),
		"the first change is not delayed; 40 changes in 20 s cause 5 writes")
	times := publishTimes(s, 2*time.Hour)
	require.Equal(t, dampingMax, times[len(times)-1]-times[len(times)-2], "the delay is at most 5 min")
	require.Len(t, publishTimes(10*time.Minute+time.Second, 5*time.Hour), 30, "rare changes are not delayed")
}

func TestDelayIsResetAfterAQuietTime(t *testing.T) {
	now := time.Unix(0, 0)
	var d damper
	for range 6 {
		now = now.Add(d.wait(now))
		d.published(now)
	}
	require.Equal(t, 32*time.Second, d.wait(now))
	now = now.Add(dampingReset + 2*d.delay + time.Second)
	require.Zero(t, d.wait(now))
	d.published(now)
	require.Equal(t, dampingStart, d.wait(now))
}
