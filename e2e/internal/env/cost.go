package env

import (
	"context"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/bench"
)

// MeasureCost runs an action and returns what it cost the service, a process with the name of its program, and the
// control plane. It does not set the number of objects and the time.
func MeasureCost(
	ctx context.Context, cp *testkit.ControlPlane, service string, pid int, action func() error,
) (cost bench.Cost, err error) {
	before, err := ServerMetrics(ctx, cp)
	if err != nil {
		return cost, err
	}
	cost.EmptyMiB, _ = bench.Memory(pid)
	cpu, programs := bench.CPU(pid), bench.Programs(cp.Dir())
	if err := action(); err != nil {
		return cost, err
	}
	cost.CPUSeconds = bench.CPU(pid) - cpu
	cost.OtherCPUSeconds = bench.Total(bench.Spent(programs, bench.Programs(cp.Dir())), service).Seconds()
	cost.MiB, _ = bench.Memory(pid)
	after, err := ServerMetrics(ctx, cp)
	if err != nil {
		return cost, err
	}
	cost.Requests = after.Sum("apiserver_request_total") - before.Sum("apiserver_request_total")
	return cost, nil
}
