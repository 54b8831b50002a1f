package service_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/pkg/admission"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/config"
)

// Certificates live for seconds here, so that the authority changes several times while evictions are asked for without a pause,
// and every replica is replaced, one after the other, as a rollout or the drain of its own node does.
func TestLetsNothingThroughWhileCertificatesAndReplicasChange(t *testing.T) {
	t.Parallel()
	showLogs(t)
	brief := func(c *config.Config) {
		c.Lifetimes = admission.Lifetimes{Authority: 16 * time.Second, Serving: 8 * time.Second, Overlap: 2 * time.Second}
		c.IssueEvery, c.Linger = 200*time.Millisecond, time.Second
	}
	h, err := newHouse(testkit.New(t, testkit.WithNodes(0)), brief)
	require.NoError(t, err)
	ns := h.Namespace(t)
	h.nodes(t, 1)
	h.statefulSet(t, ns, "my-cluster-kafka", 1, strimziLabels)
	testkit.Eventually(t, patience, func(ctx context.Context) error {
		if err := h.evict(ctx, ns, "my-cluster-kafka-0", ""); !apierrors.IsTooManyRequests(err) {
			return fmt.Errorf("not denied yet: %w", errors.Join(err))
		}
		return nil
	})
	pod := h.pod(t, ns, "my-cluster-kafka-0")
	bundles := map[string]bool{}

	var passed, denied, failed atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				switch err := h.evict(ctx, ns, "my-cluster-kafka-0", ""); {
				case err == nil:
					passed.Add(1)
				case apierrors.IsTooManyRequests(err):
					denied.Add(1)
				case ctx.Err() == nil:
					failed.Add(1)
				}
			}
		})
	}
	began := time.Now()
	for i := 0; time.Since(began) < 30*time.Second; i++ {
		stop, err := h.replica(t.Context(), fmt.Sprintf("next-%d", i), brief)
		require.NoError(t, err)
		require.NoError(t, h.stops[0]())
		h.stops = append(h.stops[1:], stop)
		c, err := h.Client().AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), "weir-drain-cleaner", metav1.GetOptions{})
		require.NoError(t, err)
		bundles[string(c.Webhooks[0].ClientConfig.CABundle)] = true
	}
	cancel()
	all.Wait()
	for _, stop := range h.stops {
		assert.NoError(t, stop())
	}
	t.Logf("%d evictions were denied, %d let through, %d failed closed; %d bundles of authorities were seen", denied.Load(), passed.Load(), failed.Load(), len(bundles))
	assert.Zero(t, passed.Load(), "evictions that got through unasked")
	assert.Greater(t, denied.Load(), int32(100))
	assert.GreaterOrEqual(t, len(bundles), 3)
	assert.Equal(t, pod.UID, h.pod(t, ns, "my-cluster-kafka-0").UID)
}
