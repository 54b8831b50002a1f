package reconcile

import (
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/status"
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
	connectorsReconfiguring = prometheus.NewDesc(
		"weir_connect_connectors_reconfiguring_too_often",
		"KafkaConnectors whose newest task configs are delayed, because the connector changes them too often.",
		[]string{"namespace"},
		nil,
	)
	claimCapacity = prometheus.NewDesc(
		"weir_connect_claim_capacity_bytes",
		"Capacity of the claims of shared volumes.",
		[]string{"namespace", "claim"},
		nil,
	)
)

var (
	restartingPods = prometheus.NewDesc(
		"weir_connect_restarting_pods",
		"Pods that rollouts restart now.",
		nil,
		nil,
	)
	restartingPodsLimit = prometheus.NewDesc(
		"weir_connect_restarting_pods_limit",
		"Maximum number of pods that rollouts restart at the same time.",
		nil,
		nil,
	)
	connectorsWaiting = prometheus.NewDesc(
		"weir_connect_connectors_waiting_to_restart",
		"KafkaConnectors with pods that wait because the maximum number of pods restarts.",
		nil,
		nil,
	)
)

// collector counts the objects in the caches at each scrape, so that no count can drift.
type collector struct {
	*caches
	restarts *ledger
}

func (c collector) Describe(to chan<- *prometheus.Desc) {
	to <- connectorsByState
	to <- tasksByState
	to <- connectorsReconfiguring
	to <- claimCapacity
	to <- restartingPods
	to <- restartingPodsLimit
	to <- connectorsWaiting
}

func (c collector) Collect(to chan<- prometheus.Metric) {
	restarting, waiting := c.restarts.counts()
	for desc, value := range map[*prometheus.Desc]int{
		restartingPods: restarting, restartingPodsLimit: c.restarts.limit(), connectorsWaiting: waiting,
	} {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value))
	}
	type group struct{ namespace, state string }
	connectors, tasks, reconfiguring := map[group]int{}, map[group]int{}, map[string]int{}
	all, _ := c.connectorLister.List(labels.Everything())
	for _, connector := range all {
		connectors[group{connector.Namespace, string(connector.Status.State)}]++
		if status.IsDelayed(connector.Status) {
			reconfiguring[connector.Namespace]++
		}
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
	for namespace, n := range reconfiguring {
		to <- prometheus.MustNewConstMetric(
			connectorsReconfiguring, prometheus.GaugeValue, float64(n), namespace)
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
