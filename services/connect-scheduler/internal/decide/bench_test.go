package decide_test

import (
	"testing"

	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

// BenchmarkConnectorAtRest is the price of a reconcile that finds nothing to do.
func BenchmarkConnectorAtRest(b *testing.B) {
	s := decidetest.Running(b, decidetest.Connector(), decidetest.Hashes(3)...)
	b.ReportAllocs()
	for b.Loop() {
		if plan, err := decide.Connector(s.State, spec.Of(s.State)); err != nil ||
			!plan.Empty() {
			b.Fatal("something is left to do")
		}
	}
}
