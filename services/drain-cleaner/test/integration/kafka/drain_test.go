package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	testkafka "github.com/weir-dev/weir/pkg/testkit/kafka"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/claims"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/evaluate"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/kafka"
)

// load produces with acks=all until ctx ends.
type load struct{ produced, failed atomic.Int64 }

func (l *load) run(ctx context.Context, client *kgo.Client) {
	value := []byte(strings.Repeat("x", 100))
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for ctx.Err() == nil {
		client.Produce(ctx, &kgo.Record{Topic: "orders", Value: value}, func(_ *kgo.Record, err error) {
			if err == nil {
				l.produced.Add(1)
			} else if ctx.Err() == nil {
				l.failed.Add(1)
			}
		})
		<-ticker.C
	}
}

// A producer writes with acks=all, and another drain requests the eviction of all brokers all the time.
func TestDrainOfEachBrokerInTurnKeepsAllPartitionsAvailable(t *testing.T) {
	t.Parallel()
	cluster := testkafka.Start(t, testkafka.Options{Brokers: 3})
	cluster.CreateTopic(t, "orders", 6)
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(cluster.Bootstrap(), ",")...),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordDeliveryTimeout(time.Minute))
	require.NoError(t, err)
	t.Cleanup(client.Close)

	d := newDrain(t, cluster.Bootstrap())
	ctx, cancel := context.WithCancel(t.Context())
	var background sync.WaitGroup
	t.Cleanup(func() { cancel(); background.Wait() })
	var producer load
	background.Go(func() { producer.run(ctx, client) })
	var watch watcher
	background.Go(func() { watch.run(ctx, d.clusters, d.policy) })

	testkit.Eventually(t, timeout, func(ctx context.Context) error { return d.evict(ctx, 0, true) })
	for id, node := range cluster.Nodes {
		testkit.Eventually(t, timeout, func(ctx context.Context) error { return d.evict(ctx, id, false) })
		started := time.Now()
		node.Stop(syscall.SIGTERM)
		for other := range cluster.Nodes {
			if other != id {
				require.Error(t, d.evict(t.Context(), other, false), "broker %d is evicted while %d is down", other, id)
			}
		}
		require.NoError(t, node.Start())
		require.NoError(t, cluster.Ready(t.Context()))
		d.pods.replace(id)
		testkit.Eventually(t, timeout, func(ctx context.Context) error {
			for other := range cluster.Nodes {
				if d.evict(ctx, other, true) == nil {
					return testkit.Permanent(fmt.Errorf("broker %d is evicted before %d is in sync", other, id))
				}
			}
			return d.release(ctx)
		})
		t.Logf("broker %d was in sync again after %s", id, time.Since(started).Round(100*time.Millisecond))
	}
	cancel()
	background.Wait()
	t.Logf("%d records with acks=all, %d errors; %d queries: %d offline, %d below min.insync.replicas, "+
		"%d with two missing replicas; denials: %v", producer.produced.Load(), producer.failed.Load(),
		watch.queries, watch.offline, watch.below, watch.second, d.denials)
	assert.Zero(t, producer.failed.Load(), "produce errors")
	assert.Greater(t, producer.produced.Load(), int64(1000))
	assert.Zero(t, watch.offline, "offline partitions")
	assert.Zero(t, watch.below, "partitions below min.insync.replicas")
	assert.Zero(t, watch.second, "partitions with two missing replicas")
}

// drain requests evictions of the brokers of a cluster.
type drain struct {
	policy    *drainv1alpha1.KafkaDrainPolicy
	pods      *pods
	clusters  *kafka.Clusters
	claims    *claims.Claims
	evaluator *evaluate.Evaluator
	denials   map[decide.Reason]int
}

func newDrain(t *testing.T, bootstrap string) *drain {
	t.Helper()
	d := &drain{policy: newPolicy(bootstrap), denials: map[decide.Reason]int{}}
	d.pods = newPods(d.policy)
	d.clusters = newClusters(t, d.pods, time.Second)
	leases := fake.NewClientset().CoordinationV1().Leases("weir-system")
	d.claims = &claims.Claims{Leases: leases, Cached: func(name string) *coordinationv1.Lease {
		l, err := leases.Get(context.Background(), name, metav1.GetOptions{})
		if err != nil {
			return nil
		}
		return l
	}}
	d.evaluator = &evaluate.Evaluator{
		Sources: d.pods, Kafka: d.clusters, Claims: d.claims, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}
	return d
}

// evict returns an error if the eviction of a broker is denied.
func (d *drain) evict(ctx context.Context, id int, dryRun bool) error {
	v := d.evaluator.Evict(ctx, decide.Request{
		Eviction: true, Namespace: "kafka", Name: fmt.Sprintf("kafka-%d", id), DryRun: dryRun,
	})
	if v.Allow {
		return nil
	}
	d.denials[v.Reason]++
	return fmt.Errorf("%s: %s", v.Reason, v.Message)
}

// release releases the only claim, as the leader does.
func (d *drain) release(ctx context.Context) error {
	key := claims.OfKafka(testkafka.ClusterID, "")
	holders := d.claims.Holders(key)
	if len(holders) != 1 {
		return testkit.Permanent(fmt.Errorf("%d claims are held", len(holders)))
	}
	h := holders[0]
	pod := d.pods.Pod(ctx, h.Namespace, h.Pod, true).Value()
	cluster, fault := d.clusters.Query(ctx, d.policy, time.Now())
	patience := decide.Patience{Lapse: time.Minute, Settle: 500 * time.Millisecond, ReplacementTimeout: time.Minute}
	done, why := decide.Release(h, decide.ReleaseState{Pod: pod, Cluster: cluster, Fault: fault}, patience, time.Now())
	if !done {
		return errors.New(why)
	}
	return d.claims.Release(ctx, key, h.UID, h.Since)
}

// watcher queries the cluster until ctx ends, and counts unavailable partitions of the topic orders.
type watcher struct{ queries, offline, below, second int }

func (w *watcher) run(ctx context.Context, clusters *kafka.Clusters, policy *drainv1alpha1.KafkaDrainPolicy) {
	for ctx.Err() == nil {
		cluster, _ := clusters.Query(ctx, policy, time.Now())
		if cluster == nil {
			continue
		}
		w.queries++
		for _, p := range cluster.Partitions() {
			if p.Topic != "orders" {
				continue
			}
			if p.Leader < 0 {
				w.offline++
			}
			if len(p.ISR) < p.MinISR {
				w.below++
			}
			if len(p.ISR) < len(p.Replicas)-1 {
				w.second++
			}
		}
	}
}
