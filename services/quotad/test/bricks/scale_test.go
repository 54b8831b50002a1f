//go:build linux

package bricks

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit/bench"
	"github.com/weir-dev/weir/pkg/testkit/disk"
	"github.com/weir-dev/weir/pkg/testkit/quotakernel"
)

// TestScale prints the cost of WEIR_BENCH_DIRECTORIES directories for make bench-scale: quotad starts with their
// descriptions, and has set all limits. It does not use the API.
func TestScale(t *testing.T) {
	if os.Getenv("WEIR_BENCH") == "" {
		t.Skip("this is a benchmark; run make bench-scale")
	}
	directories, err := strconv.Atoi(os.Getenv("WEIR_BENCH_DIRECTORIES"))
	require.NoError(t, err)
	e := newEnv(t)
	point := t.TempDir()
	quotakernel.Need(t)
	disk.NewSized(t, "xfs", int64(320+directories/80)).Mount(point, "prjquota")
	v := e.volume("data", replica3, point+"/brick")
	v.create("first", 8*mebibyte, 1<<30-1)
	q := e.logged()
	q.checked(1)
	cost := bench.Cost{Objects: directories, EmptyMiB: float64(q.resident()) / mebibyte}
	start := q.cpu()
	q.end()

	v.createMany(directories)
	q = e.logged()
	duration, err := time.ParseDuration(q.checked(1 + directories).Duration)
	require.NoError(t, err)
	cost.Seconds, cost.CPUSeconds = duration.Seconds(), (q.cpu() - start).Seconds()
	cost.MiB = float64(q.resident()) / mebibyte
	q.end()
	require.NoError(t, cost.Print(os.Stdout))
}
