package claims_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/claims"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// model is an API server with one Lease and a Kafka cluster of three brokers. Several actors use it in steps. The
// order of the steps is random. A step is one request to the API server or one query of Kafka.
type model struct {
	lease   *coordinationv1.Lease
	version int
	// old are the versions that a cache may still have.
	old []*coordinationv1.Lease
	// down are the brokers whose eviction was allowed and that are not in sync again.
	down map[int32]bool
	now  time.Time
}

var resource = schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}

// actor is a replica of drain-cleaner.
type actor struct {
	*model
	turn  <-chan struct{}
	ended chan<- struct{}
	lag   int
}

// step waits for the actor's next turn.
func (a *actor) step() {
	a.ended <- struct{}{}
	<-a.turn
}

func (a *actor) Get(context.Context, string, metav1.GetOptions) (*coordinationv1.Lease, error) {
	a.step()
	if a.lease == nil {
		return nil, apierrors.NewNotFound(resource, "l")
	}
	return a.lease.DeepCopy(), nil
}

func (a *actor) Create(
	_ context.Context, l *coordinationv1.Lease, _ metav1.CreateOptions,
) (*coordinationv1.Lease, error) {
	a.step()
	if a.lease != nil {
		return nil, apierrors.NewAlreadyExists(resource, "l")
	}
	a.put(l)
	return l, nil
}

func (a *actor) Update(
	_ context.Context, l *coordinationv1.Lease, _ metav1.UpdateOptions,
) (*coordinationv1.Lease, error) {
	a.step()
	if a.lease == nil {
		return nil, apierrors.NewNotFound(resource, "l")
	}
	if a.lease.ResourceVersion != l.ResourceVersion {
		return nil, apierrors.NewConflict(resource, "l", fmt.Errorf("changed"))
	}
	a.put(l)
	return l, nil
}

func (a *actor) Delete(_ context.Context, _ string, o metav1.DeleteOptions) error {
	a.step()
	if a.lease == nil {
		return apierrors.NewNotFound(resource, "l")
	}
	if a.lease.ResourceVersion != *o.Preconditions.ResourceVersion {
		return apierrors.NewConflict(resource, "l", fmt.Errorf("changed"))
	}
	a.remove()
	return nil
}

func (m *model) put(l *coordinationv1.Lease) {
	m.version++
	l = l.DeepCopy()
	l.ResourceVersion, l.UID = strconv.Itoa(m.version), "lease"
	m.old = append(m.old, m.lease)
	m.lease = l
}

func (m *model) remove() {
	m.old, m.lease = append(m.old, m.lease), nil
	m.version++
}

// cached returns the current version or an older one.
func (a *actor) cached(string) *coordinationv1.Lease {
	if at := len(a.old) - a.lag; a.lag > 0 && at >= 0 {
		return a.old[at]
	}
	return a.lease
}

func (m *model) queryKafka() *decide.Cluster {
	p := decide.Partition{Topic: "t", Replicas: []int32{0, 1, 2}, MinISR: 2}
	var brokers []decide.Broker
	for id := range int32(3) {
		if !m.down[id] {
			p.ISR = append(p.ISR, id)
			brokers = append(brokers, decide.Broker{ID: id})
		}
	}
	return decide.NewCluster("c", brokers, []decide.Partition{p}, nil, m.now)
}

// evict does what the webhook does for one eviction: decide on caches, make a claim, query Kafka again, decide again.
func (a *actor) evict(id int32, policy *drainv1alpha1.KafkaDrainPolicy) bool {
	pod := &decide.Pod{
		Namespace: "n", Name: fmt.Sprintf("kafka-%d", id), UID: types.UID(strconv.Itoa(int(id))), Phase: "Running",
	}
	c := claims.Claims{Leases: a, Cached: a.cached}
	s := decide.State{
		Request:      decide.Request{Eviction: true, Namespace: "n", Name: pod.Name},
		WithoutKafka: decide.FromSyncedCache(false), Pod: decide.FromLiveRead(pod),
		Policies: decide.FromLiveRead([]*drainv1alpha1.KafkaDrainPolicy{policy}),
		Budgets:  decide.FromLiveRead[[]decide.Budget](nil),
	}
	for {
		d := decide.Evict(s, a.now)
		switch d.Need {
		case decide.NeedNothing:
			// The API server deletes the pod some time after the answer.
			a.down[id] = a.down[id] || d.Allow
			if !a.down[id] {
				delete(a.down, id)
			}
			return d.Allow
		case decide.NeedKafka:
			a.step()
			s.Cluster = decide.FromLiveRead(a.queryKafka())
		case decide.NeedHolders:
			s.Holders = decide.FromCache(c.Holders("l"))
		case decide.NeedClaim:
			holders, claimed, err := c.Claim(context.Background(), "l", "c", decide.Holder{
				Namespace: "n", Pod: pod.Name, UID: pod.UID, BrokerID: &id, Policy: "p", Since: a.now,
			}, 1)
			if err != nil {
				return false
			}
			s.Holders, s.Claimed = decide.FromLiveRead(holders), decide.FromLiveRead(claimed)
			if claimed {
				a.step()
				s.Cluster = decide.FromLiveRead(a.queryKafka())
			}
		}
	}
}

func TestTwoDrainsNeverBothPass(t *testing.T) {
	t.Parallel()
	uncordoned := false
	policy := &drainv1alpha1.KafkaDrainPolicy{Spec: drainv1alpha1.KafkaDrainPolicySpec{
		Mode: drainv1alpha1.ModeSelfCheck, BootstrapServers: "k:1", MaxConcurrent: 1, RequireNodeCordoned: &uncordoned,
	}}
	passed := 0
	for seed := range uint64(1000) {
		passed += interleave(t, seed, policy)
	}
	require.Greater(t, passed, 900, "most runs allow an eviction")
	t.Logf("1000 interleavings, %d evictions allowed, never two at once", passed)
}

// interleave runs three actors in a random order. It returns the number of allowed evictions.
func interleave(t *testing.T, seed uint64, policy *drainv1alpha1.KafkaDrainPolicy) int {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 7))
	m := &model{down: map[int32]bool{}, now: time.Unix(1_800_000_000, 0)}
	ended, finished := make(chan struct{}), make(chan int)
	turns := map[int]chan struct{}{}
	for i := range 3 {
		turn := make(chan struct{})
		turns[i] = turn
		a := &actor{model: m, turn: turn, ended: ended, lag: r.IntN(3)}
		attempts := 1 + r.IntN(3)
		go func() {
			<-turn
			for range attempts {
				a.evict(int32(i), policy)
			}
			finished <- i
		}()
	}
	passed := 0
	for len(turns) > 0 {
		var runnable []int
		for i := range 3 {
			if turns[i] != nil {
				runnable = append(runnable, i)
			}
		}
		turns[runnable[r.IntN(len(runnable))]] <- struct{}{}
		select {
		case <-ended:
		case i := <-finished:
			delete(turns, i)
		}
		require.LessOrEqual(t, len(m.down), 1, "seed %d: two brokers may be down at the same time", seed)
		// Now and then the replacement is in sync again, and the claim is released.
		if len(m.down) == 1 && r.IntN(12) == 0 {
			clear(m.down)
			if m.lease != nil {
				m.remove()
			}
			passed++
		}
	}
	return passed + len(m.down)
}

func TestInvalidLeaseAllowsNoEviction(t *testing.T) {
	t.Parallel()
	holders := claims.Read(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
		Name: "l", UID: "x", Annotations: map[string]string{"weir.dev/drain-holders": "{"},
	}})
	require.Len(t, holders, 1)
	require.False(t, decide.CanClaim(holders, "pod", 1))
}
