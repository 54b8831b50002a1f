package metrics_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/metrics"
)

func TestResource(t *testing.T) {
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

func TestCountWritesCountsWhatChangesAndNothingElse(t *testing.T) {
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
# HELP weir_api_writes_total Requests to the Kubernetes API that change something, by verb, resource and HTTP status code (0: no answer).
# TYPE weir_api_writes_total counter
weir_api_writes_total{code="200",resource="configmaps",verb="apply"} 1
weir_api_writes_total{code="200",resource="configmaps",verb="delete"} 1
weir_api_writes_total{code="200",resource="configmaps",verb="patch"} 1
`), "weir_api_writes_total"))
}

func TestControllerMetrics(t *testing.T) {
	t.Parallel()
	registry := metrics.NewRegistry()
	controller := metrics.NewController(registry, "example", func() int { return 3 })
	controller.Reconciled("done", time.Millisecond)
	controller.Deferred()
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP weir_queue_depth Keys that wait to be reconciled.
# TYPE weir_queue_depth gauge
weir_queue_depth{controller="example"} 3
# HELP weir_reconciles_total Reconciles by outcome: done, again, failed or terminal.
# TYPE weir_reconciles_total counter
weir_reconciles_total{controller="example",outcome="done"} 1
`), "weir_queue_depth", "weir_reconciles_total"))
}
