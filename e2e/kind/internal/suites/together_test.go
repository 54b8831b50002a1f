package suites

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestEachWrongFigureIsAProblem(t *testing.T) {
	t.Parallel()
	good := func() figures {
		observed := partitionHealth{Observations: 100}
		return figures{
			drains:     []drained{{node: "a"}, {node: "b"}, {node: "c"}},
			brokers:    brokerFigures{acknowledged: 10, delivered: 10, duplicated: 1, partitions: observed},
			beforeLoss: observed,
			regular:    observed,
			// Nothing is available while no broker is installed.
			reinstalled: partitionHealth{Observations: 10, Offline: 6, UnderMinISR: 6},
		}
	}
	f := good()
	assert.Empty(t, f.problems())
	for name, change := range map[string]func(*figures){
		"a record is lost":              func(f *figures) { f.brokers.lost = 1 },
		"a record was refused":          func(f *figures) { f.brokers.refused = 1 },
		"no record was acknowledged":    func(f *figures) { f.brokers.acknowledged = 0 },
		"no record was delivered":       func(f *figures) { f.brokers.delivered = 0 },
		"partitions were not observed":  func(f *figures) { f.regular = partitionHealth{} },
		"a partition was offline":       func(f *figures) { f.regular.Offline = 1 },
		"a partition was below min ISR": func(f *figures) { f.regular.UnderMinISR = 1 },
		"a directory had another pod":   func(f *figures) { f.wrong = 1 },
		"a worker was not drained":      func(f *figures) { f.drains = f.drains[:2] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := good()
			change(&f)
			assert.Len(t, f.problems(), 1)
		})
	}
}
