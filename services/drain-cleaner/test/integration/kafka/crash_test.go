package kafka_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-dev/weir/pkg/testkit"
	testkafka "github.com/weir-dev/weir/pkg/testkit/kafka"
)

// deniedUntilKafkaKnows requires that evictions of a broker are denied until Kafka has removed another broker from the
// in-sync replicas, and then too. It returns how long Kafka took.
func (d *drain) deniedUntilKafkaKnows(t *testing.T, evicted int, crashed int32) time.Duration {
	t.Helper()
	began := time.Now()
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		if d.evict(ctx, evicted, false) == nil {
			return testkit.Permanent(fmt.Errorf("broker %d is evicted %s after the crash of broker %d",
				evicted, time.Since(began), crashed))
		}
		cluster, fault := d.clusters.Query(ctx, d.policy, time.Now())
		if cluster == nil {
			return fmt.Errorf("%s: %s", fault.Reason, fault.Message)
		}
		for _, p := range cluster.Partitions() {
			if slices.Contains(p.ISR, crashed) {
				return fmt.Errorf("broker %d is in the ISR of %s", crashed, p)
			}
		}
		return nil
	})
	took := time.Since(began).Round(100 * time.Millisecond)
	require.Error(t, d.evict(t.Context(), evicted, false))
	return took
}

// Kafka removes a broker that crashed from the in-sync replicas only after broker.session.timeout.ms.
func TestNoBrokerIsEvictedBeforeKafkaKnowsThatAnotherHasCrashed(t *testing.T) {
	t.Parallel()
	cluster := startSeparate(t, 1, 3)
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(cluster.bootstrap, ",")...))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	createTopic(t, client, "orders", 2, 0, 1, 2)
	d := newDrain(t, cluster.bootstrap)
	allowed := func() {
		t.Helper()
		testkit.Eventually(t, timeout, func(ctx context.Context) error { return d.evict(ctx, 0, true) })
	}
	allowed()

	cluster.brokers[1].Stop(syscall.SIGKILL)
	took := d.deniedUntilKafkaKnows(t, 0, 1)
	t.Logf("a crash: Kafka took %s; denials: %v", took, d.denials)
	require.NoError(t, cluster.brokers[1].Start())
	allowed()

	// All processes crash, and one broker does not come back.
	for _, node := range slices.Concat(cluster.controllers, cluster.brokers) {
		node.Stop(syscall.SIGKILL)
	}
	for _, node := range []*testkafka.Node{cluster.controllers[0], cluster.brokers[0], cluster.brokers[2]} {
		require.NoError(t, node.Start())
	}
	clear(d.denials)
	took = d.deniedUntilKafkaKnows(t, 0, 1)
	t.Logf("a restart without one broker: Kafka took %s; denials: %v", took, d.denials)
	require.NoError(t, cluster.brokers[1].Start())
	allowed()
}
