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

// world is an API server with Leases, and a Kafka cluster of three brokers. Everything that several actors do to it they do in steps
// whose order a seed gives: one step is one call to the API or one look at Kafka, as it is between processes.
type world struct {
	lease   *coordinationv1.Lease
	version int
	// old are the versions that a cache may still show.
	old []*coordinationv1.Lease
	// down are the brokers that were let go and are not back in sync; gone those among them whose pod has left.
	down map[int32]bool
	now  time.Time
}

var resource = schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}

// turn waits for the actor's next step.
type actor struct {
	*world
	turn  <-chan struct{}
	ended chan<- struct{}
	lag   int
}

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

func (a *actor) Create(_ context.Context, l *coordinationv1.Lease, _ metav1.CreateOptions) (*coordinationv1.Lease, error) {
	a.step()
	if a.lease != nil {
		return nil, apierrors.NewAlreadyExists(resource, "l")
	}
	a.put(l)
	return l, nil
}

func (a *actor) Update(_ context.Context, l *coordinationv1.Lease, _ metav1.UpdateOptions) (*coordinationv1.Lease, error) {
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
	a.old, a.lease = append(a.old, a.lease), nil
	a.version++
	return nil
}

func (w *world) put(l *coordinationv1.Lease) {
	w.version++
	l = l.DeepCopy()
	l.ResourceVersion, l.UID = strconv.Itoa(w.version), "lease"
	w.old = append(w.old, w.lease)
	w.lease = l
}

// cached may be any version that there ever was.
func (a *actor) cached(string) *coordinationv1.Lease {
	if at := len(a.old) - a.lag; a.lag > 0 && at >= 0 {
		return a.old[at]
	}
	return a.lease
}

func (w *world) look() *decide.Cluster {
	p := decide.Partition{Topic: "t", Replicas: []int32{0, 1, 2}, MinISR: 2}
	var alive []decide.Broker
	for id := range int32(3) {
		if !w.down[id] {
			p.ISR = append(p.ISR, id)
			alive = append(alive, decide.Broker{ID: id})
		}
	}
	return decide.NewCluster("c", alive, []decide.Partition{p}, nil, w.now)
}

// evict is what the webhook does for one eviction: decide on caches, claim, look anew, decide again.
func (a *actor) evict(id int32, policy *drainv1alpha1.KafkaDrainPolicy) bool {
	pod := &decide.Pod{Namespace: "n", Name: fmt.Sprintf("kafka-%d", id), UID: types.UID(strconv.Itoa(int(id))), Phase: "Running"}
	c := claims.Claims{Leases: a, Cached: a.cached}
	s := decide.State{Request: decide.Request{Eviction: true, Namespace: "n", Name: pod.Name}, Pod: pod, Policies: []*drainv1alpha1.KafkaDrainPolicy{policy},
		Known: map[decide.Need]bool{decide.NeedPod: true}}
	for {
		d := decide.Evict(s, a.now)
		if d.Need == decide.NeedNothing {
			if d.Allow {
				// In the world the pod is killed a while after the answer; what counts is that it may be from now on.
				a.down[id] = true
			}
			return d.Allow
		}
		s.Known[d.Need] = true
		switch d.Need {
		case decide.NeedKafka:
			a.step()
			s.Cluster = a.look()
		case decide.NeedHolders:
			s.Holders = c.Holders("l")
		case decide.NeedClaim:
			holders, claimed, err := c.Claim(context.Background(), "l", "c", decide.Holder{Namespace: "n", Pod: pod.Name, UID: pod.UID, BrokerID: &id, Policy: "p", Since: a.now}, 1)
			if err != nil {
				return false
			}
			s.Holders, s.Claimed = holders, claimed
			if claimed {
				a.step()
				s.Cluster = a.look()
			}
		}
	}
}

func TestTwoDrainsNeverBothPass(t *testing.T) {
	t.Parallel()
	cordon := false
	policy := &drainv1alpha1.KafkaDrainPolicy{Spec: drainv1alpha1.KafkaDrainPolicySpec{Mode: drainv1alpha1.ModeSelfCheck, BootstrapServers: "k:1", MaxConcurrent: 1, RequireNodeCordoned: &cordon}}
	passed := 0
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 7))
		w := &world{down: map[int32]bool{}, now: time.Unix(1_800_000_000, 0)}
		ended := make(chan struct{})
		turns := map[int]chan struct{}{}
		finished := make(chan int)
		for i := range 3 {
			turn := make(chan struct{})
			turns[i] = turn
			a := &actor{world: w, turn: turn, ended: ended, lag: r.IntN(3)}
			tries := 1 + r.IntN(3)
			go func() {
				<-turn
				for range tries {
					a.evict(int32(i), policy)
				}
				finished <- i
			}()
		}
		for len(turns) > 0 {
			ready := make([]int, 0, len(turns))
			for i := range 3 {
				if turns[i] != nil {
					ready = append(ready, i)
				}
			}
			next := ready[r.IntN(len(ready))]
			turns[next] <- struct{}{}
			select {
			case <-ended:
			case i := <-finished:
				delete(turns, i)
			}
			require.LessOrEqual(t, len(w.down), 1, "seed %d: two brokers may be down at the same time", seed)
			// Now and then the replacement comes back in sync, and the claim is given back.
			if len(w.down) == 1 && r.IntN(12) == 0 {
				clear(w.down)
				if w.lease != nil {
					w.old, w.lease = append(w.old, w.lease), nil
					w.version++
				}
				passed++
			}
		}
		passed += len(w.down)
	}
	require.Greater(t, passed, 900, "most worlds let somebody go")
	t.Logf("1000 interleavings, %d drains passed, never two at once", passed)
}

func TestALeaseThatCannotBeReadLetsNobodyPass(t *testing.T) {
	t.Parallel()
	holders := claims.Read(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "l", UID: "x", Annotations: map[string]string{"weir.dev/drain-holders": "{"}}})
	require.Len(t, holders, 1)
	require.False(t, decide.Room(holders, "pod", 1))
}
