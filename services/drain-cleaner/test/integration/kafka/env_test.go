// Package kafka_test tests the decisions of drain-cleaner with real Kafka brokers.
package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/kafka"
)

// timeout is the time for a state of the cluster on a busy machine.
const timeout = 90 * time.Second

// newPolicy returns a SelfCheck policy for brokers.
func newPolicy(bootstrap string) *drainv1alpha1.KafkaDrainPolicy {
	p := &drainv1alpha1.KafkaDrainPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kafka", Name: "p", UID: "p", Generation: 1},
	}
	p.Spec = drainv1alpha1.KafkaDrainPolicySpec{
		Role: drainv1alpha1.RoleBroker, Mode: drainv1alpha1.ModeSelfCheck, MaxConcurrent: 1, BootstrapServers: bootstrap,
	}
	return p
}

// newClusters returns Clusters that run until the test ends.
func newClusters(t *testing.T, secrets kafka.Secrets, maxAge time.Duration) *kafka.Clusters {
	t.Helper()
	clusters := kafka.New(kafka.Options{
		Secrets: secrets, MaxAge: maxAge, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- clusters.Run(ctx) }()
	t.Cleanup(func() { cancel(); assert.NoError(t, <-done) })
	return clusters
}

// pods are the running pods kafka-0, kafka-1 and kafka-2 of a policy, on nodes that are being drained.
type pods struct {
	mu     sync.Mutex
	uid    [3]int
	ready  [3]time.Time
	policy *drainv1alpha1.KafkaDrainPolicy
}

func newPods(policy *drainv1alpha1.KafkaDrainPolicy) *pods {
	p := &pods{policy: policy}
	for i := range p.ready {
		p.ready[i] = time.Now().Add(-time.Hour)
	}
	return p
}

func (p *pods) Pod(_ context.Context, namespace, name string, _ bool) decide.Input[*decide.Pod] {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := int(name[len(name)-1] - '0')
	return decide.FromLiveRead(&decide.Pod{
		Namespace: namespace, Name: name, UID: types.UID(fmt.Sprintf("%s-%d", name, p.uid[id])),
		Node: "n", Phase: corev1.PodRunning, ReadySince: p.ready[id],
	})
}

// replace replaces a pod with a new one that is ready.
func (p *pods) replace(id int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.uid[id]++
	p.ready[id] = time.Now()
}

func (p *pods) Policies(context.Context, *decide.Pod, bool) decide.Input[[]*drainv1alpha1.KafkaDrainPolicy] {
	return decide.FromLiveRead([]*drainv1alpha1.KafkaDrainPolicy{p.policy})
}

func (p *pods) Node(context.Context, string, bool) decide.Input[decide.Node] {
	return decide.FromLiveRead(decide.Node{Unschedulable: true})
}

func (p *pods) WithoutKafka(string) decide.Input[bool] { return decide.FromSyncedCache(false) }

func (p *pods) Volumes(context.Context, *decide.Pod) decide.Input[[]string] {
	return decide.FromLiveRead[[]string](nil)
}

func (p *pods) Budgets(context.Context, *decide.Pod, bool) decide.Input[[]decide.Budget] {
	return decide.FromLiveRead[[]decide.Budget](nil)
}

func (p *pods) Connector(context.Context, string, string) decide.Input[*decide.Connector] {
	return decide.FromLiveRead[*decide.Connector](nil)
}

func (p *pods) RecordEviction(*decide.Pod)                        {}
func (p *pods) RecentEviction(*decide.Pod) *decide.RecentEviction { return nil }

func (p *pods) Secret(context.Context, string, string) (map[string][]byte, error) {
	return nil, errors.New("not found")
}
