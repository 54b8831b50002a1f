package metrics_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"

	"github.com/weir-dev/weir/pkg/metrics"
)

func TestResourceOfPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/api/v1/namespaces/a/pods/b":                                      "pods",
		"/api/v1/namespaces/a/pods":                                        "pods",
		"/api/v1/namespaces/a":                                             "namespaces",
		"/api/v1/nodes/a/status":                                           "nodes/status",
		"/apis/apps/v1/namespaces/a/statefulsets/b/status":                 "statefulsets/status",
		"/apis/io.confluent.csid/v1/namespaces/a/kafkaconnectors/b/status": "kafkaconnectors/status",
		"/apis/apps/v1/statefulsets":                                       "statefulsets",
		"/version":                                                         "other",
	} {
		require.Equal(t, want, metrics.Resource(path), path)
	}
}

func TestCountWritesCountsOnlyWrites(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"b"}}`))
	}))
	defer server.Close()
	registry := metrics.NewRegistry()
	client, err := kubernetes.NewForConfig(metrics.CountWrites(&rest.Config{Host: server.URL}, registry))
	require.NoError(t, err)
	maps, ctx := client.CoreV1().ConfigMaps("a"), context.Background()
	_, err = maps.Get(ctx, "b", metav1.GetOptions{})
	require.NoError(t, err)
	_, err = maps.Apply(ctx, corev1ac.ConfigMap("b", "a"), metav1.ApplyOptions{FieldManager: "test"})
	require.NoError(t, err)
	_, err = maps.Patch(ctx, "b", types.MergePatchType, []byte(`{}`), metav1.PatchOptions{})
	require.NoError(t, err)
	require.NoError(t, maps.Delete(ctx, "b", metav1.DeleteOptions{}))

	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP weir_api_writes_total API writes by verb, resource and HTTP status code (0: no response).
# TYPE weir_api_writes_total counter
weir_api_writes_total{code="200",resource="configmaps",verb="apply"} 1
weir_api_writes_total{code="200",resource="configmaps",verb="delete"} 1
weir_api_writes_total{code="200",resource="configmaps",verb="patch"} 1
`), "weir_api_writes_total"))
}

func TestRestClientMetricsHaveTheStandardNames(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
	}))
	defer server.Close()
	registry := metrics.NewRegistry()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	require.NoError(t, err)
	_, err = client.CoreV1().ConfigMaps("a").Get(context.Background(), "b", metav1.GetOptions{})
	require.Error(t, err)
	host := strings.TrimPrefix(server.URL, "http://")
	require.InDelta(t, 1, value(t, registry, "rest_client_requests_total", "host", host), 0)
	require.InDelta(t, 1, value(t, registry, "rest_client_request_duration_seconds", "host", host), 0)
	// A second registry of the process reports the same values.
	require.InDelta(t, 1, value(t, metrics.NewRegistry(), "rest_client_requests_total", "host", host), 0)
}

func TestWorkqueueMetricsHaveTheStandardNames(t *testing.T) {
	t.Parallel()
	registry := metrics.NewRegistry()
	for _, name := range []string{"first", "second"} {
		queue := workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.DefaultTypedControllerRateLimiter[string](),
			workqueue.TypedRateLimitingQueueConfig[string]{
				Name:            name,
				MetricsProvider: metrics.WorkqueueProvider(registry),
			},
		)
		queue.Add("a")
		queue.Add("b")
		key, _ := queue.Get()
		queue.Done(key)
		queue.AddRateLimited("c")
		queue.ShutDown()
		require.InDelta(t, 1, value(t, registry, "workqueue_depth", "name", name), 0)
		require.InDelta(t, 2, value(t, registry, "workqueue_adds_total", "name", name), 0)
		require.InDelta(t, 1, value(t, registry, "workqueue_retries_total", "name", name), 0)
		for _, metric := range []string{"workqueue_queue_duration_seconds", "workqueue_work_duration_seconds"} {
			require.InDelta(t, 1, value(t, registry, metric, "name", name), 0, metric)
		}
		for _, metric := range []string{
			"workqueue_unfinished_work_seconds", "workqueue_longest_running_processor_seconds",
		} {
			require.InDelta(t, 0, value(t, registry, metric, "name", name), 0, metric)
		}
	}
}

// value returns the value of a metric with a label: of a histogram, the number of observations.
func value(t *testing.T, registry *prometheus.Registry, name, label, want string) float64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if family.GetName() == name && l.GetName() == label && l.GetValue() == want {
					return m.GetCounter().
						GetValue() +
						m.GetGauge().
							GetValue() +
						float64(
							m.GetHistogram().GetSampleCount(),
						)
				}
			}
		}
	}
	t.Fatalf("metric %s{%s=%q} is missing", name, label, want)
	return 0
}

func TestControllerMetricsExistBeforeTheFirstReconcile(t *testing.T) {
	t.Parallel()
	registry := metrics.NewRegistry()
	controller := metrics.NewController(registry, "example")
	controller.Reconciled(metrics.ResultSuccess)
	controller.Deferred()
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP weir_reconciles_deferred_total Reconciles deferred until the caches observe the last writes for the key.
# TYPE weir_reconciles_deferred_total counter
weir_reconciles_deferred_total{controller="example"} 1
# HELP weir_reconciles_total Reconciles by result: success, requeue_after, error or terminal_error.
# TYPE weir_reconciles_total counter
weir_reconciles_total{controller="example",result="error"} 0
weir_reconciles_total{controller="example",result="requeue_after"} 0
weir_reconciles_total{controller="example",result="success"} 1
weir_reconciles_total{controller="example",result="terminal_error"} 0
`), "weir_reconciles_deferred_total", "weir_reconciles_total"))
}
