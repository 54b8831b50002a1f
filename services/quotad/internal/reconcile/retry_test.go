//go:build linux

package reconcile

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

func TestDirectoriesThatCannotBeLimitedYetAreTriedAtGrowingIntervals(t *testing.T) {
	t.Parallel()
	r := &Reconciler{}
	key := controller.Key{Namespace: "v", Name: "subvol/00/00/a"}
	other := controller.Key{Namespace: "v", Name: "subvol/00/00/b"}
	waiting := []decide.BrickState{decide.Enforced, decide.Waiting}
	var seconds []int
	for range 9 {
		seconds = append(seconds, int(r.retryAfter(key, waiting).Seconds()))
	}
	require.Equal(t, []int{1, 2, 4, 8, 16, 32, 60, 60, 60}, seconds)
	require.Equal(t, time.Second, r.retryAfter(other, []decide.BrickState{decide.Failed}))
	require.Zero(t, r.retryAfter(key, []decide.BrickState{decide.Enforced, decide.Arbiter}))
	require.Equal(t, time.Second, r.retryAfter(key, waiting), "it begins again after a success")
	for _, state := range []decide.BrickState{decide.Unavailable, decide.Unsupported, decide.Refused} {
		require.Zero(t, r.retryAfter(other, []decide.BrickState{state}), "%s ends with an event", state)
	}
}

func TestDirectoriesWithoutADescriptionAreLookedAtUntilTheRegularCheckIsSoonEnough(t *testing.T) {
	t.Parallel()
	r := &Reconciler{}
	key := controller.Key{Namespace: "v", Name: "subvol/00/00/a"}
	var seconds []int
	for {
		after := r.keptAfter(key, true)
		if after == 0 {
			break
		}
		seconds = append(seconds, int(after.Seconds()))
	}
	require.Equal(t, []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}, seconds)
	require.Equal(t, time.Second, r.keptAfter(key, true))
	require.Zero(t, r.keptAfter(key, false), "it was removed")
	require.Equal(t, time.Second, r.keptAfter(key, true), "it begins again")
}
