package bench

import (
	"context"
	"fmt"
	"io"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/rest"
)

// Metrics is the result of one scrape, by metric name.
type Metrics map[string]*dto.MetricFamily

// ServerMetrics scrapes the metrics of an API server.
func ServerMetrics(ctx context.Context, client rest.Interface) (Metrics, error) {
	body, err := client.Get().AbsPath("/metrics").Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("scrape the API server: %w", err)
	}
	defer body.Close()
	return ParseMetrics(body)
}

// ParseMetrics reads the text format of Prometheus.
func ParseMetrics(body io.Reader) (Metrics, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(body)
	if err != nil {
		return nil, fmt.Errorf("parse /metrics: %w", err)
	}
	return families, nil
}

// Requests returns the number of API requests of all clients by verb and resource. The API server counts a watch
// when it ends.
func (m Metrics) Requests() map[string]float64 {
	requests := map[string]float64{}
	for key, n := range m.By("apiserver_request_total", "verb", "resource", "subresource") {
		requests[strings.ToLower(strings.TrimSpace(key))] += n
	}
	return requests
}

// By sums a counter or gauge over each combination of label values. The keys are the values joined by a space.
func (m Metrics) By(name string, labels ...string) map[string]float64 {
	sums := map[string]float64{}
	for _, metric := range m[name].GetMetric() {
		values := make([]string, len(labels))
		for i, label := range labels {
			for _, pair := range metric.GetLabel() {
				if pair.GetName() == label {
					values[i] = pair.GetValue()
				}
			}
		}
		sums[strings.Join(values, " ")] += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
	}
	return sums
}

// Sum returns the sum of a counter or gauge over all labels.
func (m Metrics) Sum(name string) float64 { return m.By(name)[""] }

// CPUSeconds returns the CPU time of the process since its start.
func (m Metrics) CPUSeconds() float64 { return m.Sum("process_cpu_seconds_total") }

// Writes returns the number of API writes of the service by verb and resource. Lease renewals are counted
// separately, because an idle service renews its lease too.
func (m Metrics) Writes() (writes map[string]float64, renewals float64) {
	writes = m.By("weir_api_writes_total", "verb", "resource")
	for key, n := range writes {
		if strings.HasSuffix(key, " leases") {
			renewals += n
			delete(writes, key)
		}
	}
	return writes, renewals
}
