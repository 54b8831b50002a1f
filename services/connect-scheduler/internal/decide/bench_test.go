package decide

import "testing"

// BenchmarkConnectorAtRest is the price of a reconcile that finds nothing to do.
func BenchmarkConnectorAtRest(b *testing.B) {
	s := runningSim(b, seed(), hashes(3)...)
	b.ReportAllocs()
	for b.Loop() {
		if plan, err := Connector(s.state); err != nil || !plan.Empty() {
			b.Fatal("something is left to do")
		}
	}
}
