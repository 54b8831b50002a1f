//go:build linux

package agent

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/disk"
)

// Metrics are the metrics of the agent.
type Metrics struct {
	capacity, available, ready *prometheus.GaugeVec
	directories                *prometheus.GaugeVec
	actions                    *prometheus.CounterVec
}

// NewMetrics registers the metrics of the agent.
func NewMetrics(r prometheus.Registerer) *Metrics {
	factory := promauto.With(r)
	return &Metrics{
		capacity: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_volume_agent_filesystem_capacity_bytes", Help: "Size of the file system of a base path.",
		}, []string{"base_path"}),
		available: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_volume_agent_filesystem_available_bytes",
			Help: "Free space of the file system of a base path, updated when it changes by more than one percent of the size.",
		}, []string{"base_path"}),
		ready: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_volume_agent_filesystem_ready", Help: "1 if the base path can be used, else 0.",
		}, []string{"base_path"}),
		directories: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_volume_agent_directories", Help: "Directories of volumes by state.",
		}, []string{"state"}),
		actions: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_volume_agent_actions_total",
			Help: "Changes of file systems by kind (create, mark, limit, unlimit, move, empty, forget) and result " +
				"(success, error).",
		}, []string{"kind", "result"}),
	}
}

// observe sets the gauges from a status.
func (m *Metrics) observe(s storagev1alpha1.LocalVolumeNodeStatus) {
	for _, g := range []*prometheus.GaugeVec{m.capacity, m.available, m.ready, m.directories} {
		g.Reset()
	}
	for _, f := range s.FileSystems {
		m.capacity.WithLabelValues(f.BasePath).Set(float64(f.CapacityBytes))
		m.available.WithLabelValues(f.BasePath).Set(float64(f.AvailableBytes))
		ready := m.ready.WithLabelValues(f.BasePath)
		if f.State == storagev1alpha1.FileSystemReady {
			ready.Set(1)
		}
	}
	for _, d := range s.Directories {
		m.directories.WithLabelValues(string(d.State)).Inc()
	}
}

// acted counts actions. An action that runs in the background counts when it starts.
func (m *Metrics) acted(results map[disk.Key]disk.Result) {
	for key, result := range results {
		name := "success"
		if result.Error != "" {
			name = "error"
		}
		m.actions.WithLabelValues(string(key.Kind), name).Inc()
	}
}
