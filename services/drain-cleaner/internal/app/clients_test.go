package app

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// The flags limit the other requests of a replica. A review that waits for their limit would be denied at its deadline.
func TestReviewsHaveNoClientSideRateLimit(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(server.Close)
	kube, weir, err := reviewClients(&rest.Config{Host: server.URL, QPS: 0.001, Burst: 1})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 50 {
		_, err := kube.CoreV1().Pods("ns").Get(ctx, "pod", metav1.GetOptions{})
		require.ErrorContains(t, err, "could not find the requested resource")
		_, err = weir.DrainV1alpha1().KafkaDrainPolicies("ns").List(ctx, metav1.ListOptions{})
		require.ErrorContains(t, err, "could not find the requested resource")
	}
	assert.EqualValues(t, 100, requests.Load())
}
