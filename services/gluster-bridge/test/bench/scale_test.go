//go:build linux

package bench

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit/bench"
	"github.com/weir-dev/weir/services/gluster-bridge/test/testenv"
)

// scaleSize is the size of a volume. 4096 of them fill the disk of a brick.
const scaleSize = 64 << 10

// TestScale prints the cost of WEIR_BENCH_VOLUMES volumes for make bench-scale.
func TestScale(t *testing.T) {
	if os.Getenv("WEIR_BENCH") == "" {
		t.Skip("this is a benchmark; run make bench-scale")
	}
	e, p := start(t)
	quotads(e)
	create := func(kind string, count int) float64 {
		names := make([]string, count)
		for i := range names {
			names[i] = fmt.Sprintf("pvc-%s-%d", kind, i)
		}
		seconds, _, err := run(names, func(name string) error {
			_, err := p.CreateVolume(t.Context(), testenv.Request(name, scaleSize))
			return err
		})
		require.NoError(t, err)
		return seconds
	}
	// The first volume makes the program mount the storage.
	create("first", 1)
	cost := bench.Cost{Objects: number(t, "WEIR_BENCH_VOLUMES", 100)}
	cost.EmptyMiB, _ = bench.Memory(p.PID())
	before, server := programs(p), apiRequests(t, e)
	cost.Seconds = create("scale", cost.Objects)
	// The last conditions are written after the last call.
	idle(t, e)
	cost.Requests = apiRequests(t, e) - server
	used := bench.Spent(before, programs(p))
	cost.CPUSeconds = used["gluster-bridge"].Seconds()
	// quotad is simulated.
	cost.OtherCPUSeconds = bench.Total(used, "gluster-bridge", simulation).Seconds()
	cost.MiB, _ = bench.Memory(p.PID())
	require.NoError(t, cost.Print(os.Stdout))
}

// idle waits until a second passes with few API requests: those of the leases and of this function.
func idle(t *testing.T, e *testenv.Env) {
	t.Helper()
	for end, last := time.Now().Add(time.Minute), apiRequests(t, e); ; {
		require.NoError(t, bench.Sleep(t.Context(), time.Second))
		now := apiRequests(t, e)
		if now-last < 10 {
			return
		}
		require.True(t, time.Now().Before(end), "there are %v requests per second", now-last)
		last = now
	}
}

// apiRequests returns the number of API requests of all clients.
func apiRequests(t *testing.T, e *testenv.Env) float64 {
	t.Helper()
	metrics, err := bench.ServerMetrics(t.Context(), e.ControlPlane.Client().Discovery().RESTClient())
	require.NoError(t, err)
	return metrics.Sum("apiserver_request_total")
}
