//go:build linux

package reconcile

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

func TestDescriptionsAreReadAtMostEachTenSecondsAndForAShareOfTheTime(t *testing.T) {
	t.Parallel()
	r := &Reconciler{Interval: 10 * time.Minute}
	const ms = time.Millisecond
	next := func(used time.Duration) time.Duration { return r.nextLook("v", used) }
	require.Equal(t, lookInterval, next(500*ms), "the first looks read the disk")
	require.Equal(t, lookInterval, next(20*ms))
	require.Equal(t, 40*time.Second, next(30*ms), "0.05 % of the time")
	require.Equal(t, 40*time.Second, next(900*ms), "a look after the kernel has freed its cache")
	require.Equal(t, time.Minute, next(40*ms), "the last looks count")
	require.Equal(t, lookInterval, next(1*ms))
	for range looks {
		next(time.Hour)
	}
	require.Equal(t, 100*time.Minute, next(time.Hour), "not longer than the time between two checks")
	require.Equal(t, lookInterval, r.nextLook("another", time.Hour))
}

func TestDescriptionsAreNotReadUntilTheCheckOfTheirVolumeHasEnded(t *testing.T) {
	t.Parallel()
	var enqueued []controller.Key
	r := &Reconciler{
		Interval: time.Minute, Log: slog.New(slog.DiscardHandler), Descriptions: true,
		Enqueue: func(key controller.Key) { enqueued = append(enqueued, key) },
	}
	v := decide.Volume{ID: "v", Name: "data"}
	require.False(t, r.isLookedAt(v), "before the first check")
	require.Zero(t, r.look(v))
	r.lookAt(v, true)
	require.True(t, r.isLookedAt(v), "after a check")
	require.False(t, r.isLookedAt(decide.Volume{ID: "w"}))
	require.Equal(t, []controller.Key{{Namespace: "v", Name: changedDescriptions}}, enqueued)
	r.lookAt(v, false)
	require.False(t, r.isLookedAt(v), "during another check")
	require.Len(t, enqueued, 1)
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
