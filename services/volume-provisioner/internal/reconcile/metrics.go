package reconcile

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/placement"
)

var (
	volumesByPhase = prometheus.NewDesc(
		"weir_local_volumes",
		"Volumes of KafkaLocalVolumeSets by namespace and phase.",
		[]string{"namespace", "phase"},
		nil,
	)
	capacityBytes = prometheus.NewDesc(
		"weir_local_volume_capacity_bytes",
		"Size of the file system of a base path, by node.",
		[]string{"node", "base_path"},
		nil,
	)
	availableBytes = prometheus.NewDesc(
		"weir_local_volume_available_bytes",
		"Free space of the file system of a base path, by node.",
		[]string{"node", "base_path"},
		nil,
	)
	reservedBytes = prometheus.NewDesc(
		"weir_local_volume_reserved_bytes",
		"Sum of the sizes of the volumes on the file system of a base path, by node.",
		[]string{"node", "base_path"},
		nil,
	)
)

func newRebinds() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{
		Name: "weir_local_volume_rebinds_total",
		Help: "Number of PersistentVolumes that were made available again after their claim was deleted.",
	})
}

// collector counts the objects in the caches at each scrape, so that no count can drift.
type collector struct{ *caches }

func (c collector) Describe(to chan<- *prometheus.Desc) {
	to <- volumesByPhase
	to <- capacityBytes
	to <- availableBytes
	to <- reservedBytes
}

func (c collector) Collect(to chan<- prometheus.Metric) {
	type group struct{ namespace, phase string }
	volumes := map[group]int{}
	all := c.allSets()
	for _, set := range all {
		for _, v := range set.Status.Volumes {
			volumes[group{set.Namespace, string(v.Phase)}]++
		}
	}
	for g, n := range volumes {
		to <- prometheus.MustNewConstMetric(volumesByPhase, prometheus.GaugeValue, float64(n), g.namespace, g.phase)
	}
	agents := byName(c.allAgents())
	ledger := placement.NewLedger(c.reserved.of(all, agents), agents)
	for name, agent := range agents {
		for _, fs := range agent.Status.FileSystems {
			gauge := func(desc *prometheus.Desc, bytes int64) {
				to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(bytes), name, fs.BasePath)
			}
			gauge(capacityBytes, fs.CapacityBytes)
			gauge(availableBytes, fs.AvailableBytes)
			gauge(reservedBytes, ledger.Reserved(agent, fs.BasePath))
		}
	}
}
