package lookup_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/evaluate"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/lookup"
)

// clock is the real time, and hours later while it is ahead.
type clock struct{ ahead atomic.Bool }

func (c *clock) now() time.Time {
	if c.ahead.Load() {
		return time.Now().Add(time.Hour)
	}
	return time.Now()
}

// The number of requests of a review is the load that a drain of a node with many pods puts on the API server.
func TestReviewOfUnprotectedPodMakesAtMostOneRequest(t *testing.T) {
	cp := testkit.Shared(t)
	withPolicy, withStrimzi, withoutKafka := cp.Namespace(t), cp.Namespace(t), cp.Namespace(t)
	var c clock
	e := start(t, cp, "", func(o *lookup.Options) { o.Now = c.now })
	evaluator := &evaluate.Evaluator{
		Settings: decide.Settings{DrainKafka: true, DenyEviction: true}, Sources: e.Lookup, Now: c.now,
		Log: slog.New(slog.DiscardHandler),
	}
	policy := e.createPolicy(t, withPolicy, "kafka")
	t.Cleanup(func() {
		client := e.weir.DrainV1alpha1().KafkaDrainPolicies(withPolicy)
		assert.NoError(t, client.Delete(context.Background(), policy.Name, metav1.DeleteOptions{}))
	})
	strimzi := map[string]string{contract.StrimziKind: contract.StrimziKindKafka, contract.StrimziName: "a-kafka"}
	e.createPod(t, withStrimzi, "a-kafka-0", strimzi)
	for _, ns := range []string{withPolicy, withStrimzi, withoutKafka} {
		e.createPod(t, ns, "db-0", map[string]string{"app": "db"})
	}
	testkit.Eventually(t, timeout, func(context.Context) error {
		if e.Policy(withPolicy, policy.Name) == nil || e.WithoutKafka(withStrimzi).Value() {
			return errors.New("the caches are not filled")
		}
		return nil
	})
	evict := func(namespace, name string) (decide.Decision, int32) {
		before := e.reads.Load()
		d := evaluator.Evict(t.Context(), decide.Request{Eviction: true, Namespace: namespace, Name: name}).Decision
		return d, e.reads.Load() - before
	}

	d, reads := evict(withoutKafka, "db-0")
	assert.True(t, d.Allow)
	assert.Zero(t, reads, "a namespace without Kafka needs no request")
	for _, ns := range []string{withPolicy, withStrimzi} {
		d, reads = evict(ns, "db-0")
		assert.True(t, d.Allow)
		assert.Equal(t, drainv1alpha1.ReasonNotProtected, d.Reason)
		assert.EqualValues(t, 1, reads, "one live read of the pod")
	}
	d, reads = evict(withStrimzi, "a-kafka-0")
	assert.False(t, d.Allow, "a Kafka pod")
	assert.Zero(t, reads, "a denial needs no request")

	// The watches were not heard of for two minutes: the caches no longer prove that there is no Kafka.
	c.ahead.Store(true)
	d, reads = evict(withoutKafka, "db-0")
	assert.True(t, d.Allow)
	assert.EqualValues(t, 2, reads, "the pod and the policies")
	c.ahead.Store(false)
}

// A namespace without Kafka needs no capacity of the API server.
func TestShortageOfAPICapacityDoesNotDenyPodsOfNamespacesWithoutKafka(t *testing.T) {
	cp := testkit.Shared(t)
	ns := cp.Namespace(t)
	e := start(t, cp, "")
	evaluator := &evaluate.Evaluator{
		Settings: decide.Settings{DrainKafka: true, DenyEviction: true}, Sources: e.Lookup, Now: time.Now,
		Log: slog.New(slog.DiscardHandler),
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // every request fails
	d := evaluator.Evict(ctx, decide.Request{Eviction: true, Namespace: ns, Name: "db-0"}).Decision
	require.True(t, d.Allow, d.Message)
}
