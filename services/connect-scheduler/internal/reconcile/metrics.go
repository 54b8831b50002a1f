package reconcile

import (
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
)

var (
	connectorsByState = prometheus.NewDesc(
		"weir_connect_connectors",
		"KafkaConnectors by namespace and state.",
		[]string{"namespace", "state"},
		nil,
	)
	tasksByState = prometheus.NewDesc(
		"weir_connect_tasks",
		"Tasks by namespace and state.",
		[]string{"namespace", "state"},
		nil,
	)
	claimCapacity = prometheus.NewDesc(
		"weir_connect_claim_capacity_bytes",
		"Capacity of the claims of shared volumes.",
		[]string{"namespace", "claim"},
		nil,
	)
)

// collector counts the objects in the caches at each scrape, so that no count can drift.
type collector struct{ *caches }

func (c collector) Describe(to chan<- *prometheus.Desc) {
	to <- connectorsByState
	to <- tasksByState
	to <- claimCapacity
}

func (c collector) Collect(to chan<- prometheus.Metric) {
	type group struct{ namespace, state string }
	connectors, tasks := map[group]int{}, map[group]int{}
	all, _ := c.connectorLister.List(labels.Everything())
	for _, connector := range all {
		connectors[group{connector.Namespace, string(connector.Status.State)}]++
		for _, t := range connector.Status.Tasks {
			tasks[group{connector.Namespace, string(t.State)}]++
		}
	}
	for p, n := range connectors {
		to <- prometheus.MustNewConstMetric(connectorsByState, prometheus.GaugeValue, float64(n), p.namespace, p.state)
	}
	for p, n := range tasks {
		to <- prometheus.MustNewConstMetric(tasksByState, prometheus.GaugeValue, float64(n), p.namespace, p.state)
	}
	claims, _ := c.objects.Core().
		V1().
		PersistentVolumeClaims().
		Lister().
		List(labels.SelectorFromSet(labels.Set{contract.LabelManagedBy: decide.Manager}))
	for _, claim := range claims {
		capacity := claim.Status.Capacity[corev1.ResourceStorage]
		to <- prometheus.MustNewConstMetric(
			claimCapacity, prometheus.GaugeValue, float64(capacity.Value()), claim.Namespace, claim.Name)
	}
}
