package broker_test

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
	"github.com/twmb/franz-go/pkg/kmsg"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/claims"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/evaluate"
	look "github.com/weir-dev/weir/services/drain-cleaner/internal/kafka"
)

// pods are those of the brokers: kafka-0, kafka-1, kafka-2, on nodes that are all being drained.
type pods struct {
	mu     sync.Mutex
	uid    [3]int
	ready  [3]time.Time
	policy *drainv1alpha1.KafkaDrainPolicy
}

func (p *pods) Pod(_ context.Context, namespace, name string, _ bool) (*decide.Pod, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := int(name[len(name)-1] - '0')
	return &decide.Pod{Namespace: namespace, Name: name, UID: types.UID(fmt.Sprintf("%s-%d", name, p.uid[id])), Node: "n", Phase: corev1.PodRunning, ReadySince: p.ready[id]}, nil
}

func (p *pods) replace(id int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.uid[id]++
	p.ready[id] = time.Now()
}

func (p *pods) Policies(context.Context, *decide.Pod, bool) ([]*drainv1alpha1.KafkaDrainPolicy, error) {
	return []*drainv1alpha1.KafkaDrainPolicy{p.policy}, nil
}
func (p *pods) Node(context.Context, string, bool) (decide.Node, error) {
	return decide.Node{Unschedulable: true}, nil
}
func (p *pods) Pinned(context.Context, *decide.Pod) ([]string, error)                { return nil, nil }
func (p *pods) Connector(context.Context, string, string) (*decide.Connector, error) { return nil, nil }
func (p *pods) Asked(*decide.Pod)                                                    {}
func (p *pods) Replaces(*decide.Pod) (string, bool)                                  { return "", false }
func (p *pods) Secret(context.Context, string, string) (map[string][]byte, error) {
	return nil, errors.New("none")
}

// load produces with acks=all until stopped, and counts what went wrong.
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

// Each of three brokers is drained in turn while a producer writes with acks=all and another drain asks for all of them all the time:
// at most one is down at any time, no record is lost, and no partition is offline or below its minimum.
func TestDrainsEachBrokerInTurnAndNoPartitionFeelsIt(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	for id := range 3 {
		listening(t, k.ports[id][0])
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(k.bootstrap(), ",")...), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordDeliveryTimeout(time.Minute))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	createTopic(t, client)

	policy := &drainv1alpha1.KafkaDrainPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "kafka", Name: "p", UID: "p", Generation: 1}}
	policy.Spec = drainv1alpha1.KafkaDrainPolicySpec{Role: drainv1alpha1.RoleBroker, Mode: drainv1alpha1.ModeSelfCheck, BootstrapServers: k.bootstrap(), MaxConcurrent: 1}
	world := &pods{policy: policy}
	for id := range world.ready {
		world.ready[id] = time.Now().Add(-time.Hour)
	}
	clusters := look.New(look.Options{Secrets: world, MaxAge: time.Second, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	var background sync.WaitGroup
	t.Cleanup(func() { cancel(); background.Wait() })
	background.Go(func() { _ = clusters.Run(ctx) })

	leases := fake.NewClientset().CoordinationV1().Leases("weir-system")
	held := &claims.Claims{Leases: leases, Cached: func(name string) *coordinationv1.Lease {
		l, err := leases.Get(context.Background(), name, metav1.GetOptions{})
		if err != nil {
			return nil
		}
		return l
	}}
	j := &evaluate.Evaluator{Sources: world, Kafka: clusters, Claims: held, Now: time.Now, Log: slog.New(slog.DiscardHandler)}

	var producer load
	background.Go(func() { producer.run(ctx, client) })
	var watch watcher
	background.Go(func() { watch.run(ctx, clusters, policy) })

	testkit.Eventually(t, 90*time.Second, func(ctx context.Context) error {
		if v := j.Evict(ctx, decide.Request{Eviction: true, Namespace: "kafka", Name: "kafka-0", DryRun: true}); !v.Allow {
			return fmt.Errorf("%s: %s", v.Reason, v.Message)
		}
		return nil
	})
	patience := decide.Patience{Lapse: time.Minute, Settle: 500 * time.Millisecond, Nameless: time.Minute}
	denials := map[decide.Reason]int{}
	for round := range 3 {
		var passed int
		testkit.Eventually(t, time.Minute, func(ctx context.Context) error {
			v := j.Evict(ctx, decide.Request{Eviction: true, Namespace: "kafka", Name: fmt.Sprintf("kafka-%d", round)})
			if !v.Allow {
				denials[v.Reason]++
				return fmt.Errorf("%s: %s", v.Reason, v.Message)
			}
			passed = round
			return nil
		})
		watch.down.Store(int32(passed))
		began := time.Now()
		k.nodes[passed].stop(syscall.SIGTERM)
		for other := range 3 {
			if v := j.Evict(t.Context(), decide.Request{Eviction: true, Namespace: "kafka", Name: fmt.Sprintf("kafka-%d", other)}); other != passed {
				require.False(t, v.Allow, "broker %d may go while %d is down", other, passed)
				denials[v.Reason]++
			}
		}
		k.nodes[passed].start()
		listening(t, k.ports[passed][0])
		world.replace(passed)
		testkit.Eventually(t, 90*time.Second, func(ctx context.Context) error {
			for other := range 3 {
				v := j.Evict(ctx, decide.Request{Eviction: true, Namespace: "kafka", Name: fmt.Sprintf("kafka-%d", other), DryRun: true})
				if v.Allow {
					return testkit.Permanent(fmt.Errorf("broker %d may go before %d is back", other, passed))
				}
				denials[v.Reason]++
			}
			return released(ctx, held, clusters, world, policy, patience)
		})
		t.Logf("broker %d was away and back in sync in %s", passed, time.Since(began).Round(100*time.Millisecond))
	}
	cancel()
	background.Wait()
	t.Logf("%d records with acks=all, %d errors; %d looks: %d offline, %d below the minimum, %d with a second broker missing; denials: %v",
		producer.produced.Load(), producer.failed.Load(), watch.looks, watch.offline, watch.below, watch.second, denials)
	assert.Zero(t, producer.failed.Load(), "produce errors")
	assert.Greater(t, producer.produced.Load(), int64(1000))
	assert.Zero(t, watch.offline, "offline partitions")
	assert.Zero(t, watch.below, "partitions below the minimum")
	assert.Zero(t, watch.second, "looks with a second broker missing")
}

// released gives the claim back as the leader does.
func released(ctx context.Context, held *claims.Claims, clusters *look.Clusters, world *pods, policy *drainv1alpha1.KafkaDrainPolicy, patience decide.Patience) error {
	key := claims.OfKafka(clusterID, "")
	holders := held.Holders(key)
	if len(holders) != 1 {
		return testkit.Permanent(fmt.Errorf("%d claims are held", len(holders)))
	}
	h := holders[0]
	pod, _ := world.Pod(ctx, h.Namespace, h.Pod, true)
	cluster, fault := clusters.Query(ctx, policy, time.Now())
	done, why := decide.Release(h, decide.ReleaseState{Pod: pod, Cluster: cluster, Fault: fault}, patience, time.Now())
	if !done {
		return errors.New(why)
	}
	return held.Release(ctx, key, h.UID, h.Since)
}

// watcher looks at the cluster all the time.
type watcher struct {
	down                          atomic.Int32
	looks, offline, below, second int
}

func (w *watcher) run(ctx context.Context, clusters *look.Clusters, policy *drainv1alpha1.KafkaDrainPolicy) {
	w.down.Store(-1)
	for ctx.Err() == nil {
		cluster, _ := clusters.Query(ctx, policy, time.Now())
		if cluster == nil {
			continue
		}
		w.looks++
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

func createTopic(t *testing.T, client *kgo.Client) {
	t.Helper()
	testkit.Eventually(t, 90*time.Second, func(ctx context.Context) error {
		request := kmsg.NewPtrCreateTopicsRequest()
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "orders", 6, 3
		request.Topics, request.TimeoutMillis = append(request.Topics, topic), 5000
		response, err := request.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		// 36: there is one from the try before.
		if code := response.Topics[0].ErrorCode; code != 0 && code != 36 {
			return fmt.Errorf("create the topic: error %d", code)
		}
		return nil
	})
}
