//go:build linux

package reconcile

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDescriptionsAreReadAtMostEachTenSecondsAndForAShareOfTheTime(t *testing.T) {
	t.Parallel()
	r := &Reconciler{Interval: 10 * time.Minute}
	const ms = time.Millisecond
	next := func(took time.Duration) time.Duration { return r.nextLook("v", took) }
	require.Equal(t, lookInterval, next(500*ms), "the first looks may wait for the disk")
	require.Equal(t, lookInterval, next(20*ms))
	require.Equal(t, 40*time.Second, next(30*ms), "0.05 % of the time")
	require.Equal(t, 40*time.Second, next(900*ms), "a look that was interrupted")
	require.Equal(t, time.Minute, next(40*ms), "the last looks count")
	require.Equal(t, lookInterval, next(1*ms))
	for range looks {
		next(time.Hour)
	}
	require.Equal(t, 100*time.Minute, next(time.Hour), "not longer than the time between two checks")
	require.Equal(t, lookInterval, r.nextLook("another", time.Hour))
}

func TestChecksOfManyDirectoriesAreRarer(t *testing.T) {
	t.Parallel()
	r := &Reconciler{Interval: 10 * time.Minute}
	for used, want := range map[time.Duration]time.Duration{
		0: 10 * time.Minute, 600 * time.Millisecond: 10 * time.Minute, 1500 * time.Millisecond: 40 * time.Minute,
		3 * time.Second: 90 * time.Minute, time.Minute: 100 * time.Minute,
	} {
		require.Equal(t, want, r.nextCheck(used), used)
	}
	often := &Reconciler{Interval: time.Second}
	require.Equal(t, time.Second, often.nextCheck(200*time.Millisecond), "the flag counts for few directories")
}
