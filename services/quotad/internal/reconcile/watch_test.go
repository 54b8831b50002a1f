//go:build linux

package reconcile

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

func TestBrickThatCannotBeWatchedIsTriedAtGrowingIntervalsAndAfterAChangeOfMounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := NewWatches(slog.New(slog.DiscardHandler), NewMetrics(prometheus.NewRegistry()), func(controller.Key) {})
		begun := time.Now()
		var mu sync.Mutex
		var seconds []int
		w.isUsable = func(decide.Volume, decide.Brick) bool {
			mu.Lock()
			defer mu.Unlock()
			seconds = append(seconds, int(time.Since(begun).Seconds()))
			return false
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		w.Set([]decide.Volume{{ID: volume, Local: []decide.Brick{{Path: "/missing"}}}})
		after := func(d time.Duration) []int {
			<-time.After(d)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(seconds)
		}
		require.Equal(t, []int{0, 1, 3, 7, 15, 25, 35}, after(36*time.Second))
		w.Retry()
		require.Equal(t, []int{36}, after(0)[7:], "at once")
		require.Equal(t, []int{36, 37, 39}, after(4 * time.Second)[7:])
		cancel()
		require.NoError(t, <-done)
	})
}
