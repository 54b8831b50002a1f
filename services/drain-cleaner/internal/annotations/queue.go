// Package annotations writes annotations on pods after reviews: the one that asks an operator to roll the pod, and the
// one that records the drain. It writes after the answer. kubectl drain repeats the eviction, so a lost write is
// repeated too.
package annotations

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/apply"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

const (
	// recordInterval is the least time between two writes of the drain record of a pod.
	recordInterval = 30 * time.Second
	// rollInterval is the least time between two writes of the roll request of a pod. It is longer than a cache lags.
	rollInterval = 3 * time.Second
	// maxQueued is the number of pods that can wait for a write. Further pods are left to their next eviction.
	maxQueued = 1024
	// writeTimeout is the timeout of a write.
	writeTimeout = 10 * time.Second
	workers      = 4
)

// Queue writes annotations. New makes it.
type Queue struct {
	client  kubernetes.Interface
	manager string
	now     func() time.Time
	log     *slog.Logger
	// onRoll is called with the result of each write of a roll request.
	onRoll func(ok bool)

	queue chan update
	mu    sync.Mutex
	pods  map[types.UID]*pendingUpdate
}

// pendingUpdate is what is known of a pod that is not written yet, and when it was last written.
type pendingUpdate struct {
	attempts                 int32
	since                    time.Time
	rolled, recorded         time.Time
	rollQueued, recordQueued bool
}

// update is one write.
type update struct {
	pod          decide.Pod
	roll, record bool
}

// New returns a queue that writes as the given field manager.
func New(
	client kubernetes.Interface, manager string, now func() time.Time, log *slog.Logger, onRoll func(ok bool),
) *Queue {
	return &Queue{
		client: client, manager: manager, now: now, log: log, onRoll: onRoll,
		queue: make(chan update, maxQueued), pods: map[types.UID]*pendingUpdate{},
	}
}

// Add queues the writes that follow from an eviction request: roll asks the operator to roll the pod, record counts the
// request.
func (q *Queue) Add(pod *decide.Pod, roll, record bool) {
	if !roll && !record {
		return
	}
	now := q.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.pods[pod.UID]
	if p == nil {
		q.removeOld(now)
		p = &pendingUpdate{}
		q.pods[pod.UID] = p
	}
	if record {
		p.attempts++
	}
	if since, draining := pod.Draining(now); draining {
		p.since = since
	} else if p.since.IsZero() || now.Sub(p.recorded) > decide.DrainTimeout {
		p.since = now
	}
	u := update{
		pod:    *pod,
		roll:   roll && !p.rollQueued && now.Sub(p.rolled) >= rollInterval,
		record: record && !p.recordQueued && now.Sub(p.recorded) >= recordInterval,
	}
	if !u.roll && !u.record {
		return
	}
	select {
	case q.queue <- u:
		p.rollQueued, p.recordQueued = p.rollQueued || u.roll, p.recordQueued || u.record
	default:
	}
}

// removeOld removes pods whose drain is over. The caller holds the lock.
func (q *Queue) removeOld(now time.Time) {
	for uid, p := range q.pods {
		last := p.since
		for _, t := range []time.Time{p.rolled, p.recorded} {
			if t.After(last) {
				last = t
			}
		}
		if !p.rollQueued && !p.recordQueued && now.Sub(last) > decide.DrainTimeout {
			delete(q.pods, uid)
		}
	}
}

// Run writes until ctx ends, and then what is still queued.
func (q *Queue) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for {
				select {
				case u := <-q.queue:
					q.write(ctx, u)
				case <-ctx.Done():
					q.flush(ctx)
					return
				}
			}
		})
	}
	all.Wait()
	return nil
}

// flush writes what is queued.
func (q *Queue) flush(ctx context.Context) {
	for {
		select {
		case u := <-q.queue:
			q.write(ctx, u)
		default:
			return
		}
	}
}

// write writes one update. It does nothing if another pod has the name now.
func (q *Queue) write(ctx context.Context, u update) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	now := q.now()
	q.mu.Lock()
	p := q.pods[u.pod.UID]
	since, attempts := p.since, p.attempts
	q.mu.Unlock()

	values, err := annotationsOf(u, since, now, u.pod.Attempts+attempts)
	if err == nil {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: u.pod.Name, UID: u.pod.UID}}
		_, err = apply.SetAnnotations(ctx, q.client.CoreV1().Pods(u.pod.Namespace), q.manager, pod, values)
	}
	gone := apply.IsGone(err)
	if err != nil && !gone {
		q.log.Error("could not annotate the pod; the next eviction tries again",
			"pod", u.pod.Namespace+"/"+u.pod.Name, "error", err)
	}
	if u.roll && !gone {
		q.onRoll(err == nil)
	}
	q.finish(p, u, err, now, attempts)
}

// finish records the result of a write.
func (q *Queue) finish(p *pendingUpdate, u update, err error, now time.Time, attempts int32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if u.roll {
		p.rollQueued = false
	}
	if u.record {
		p.recordQueued = false
	}
	if err != nil {
		return
	}
	if u.roll {
		p.rolled = now
		q.log.Info("requested a roll of the pod", "pod", u.pod.Namespace+"/"+u.pod.Name, "uid", u.pod.UID)
	}
	if u.record {
		p.recorded, p.attempts = now, p.attempts-attempts
	}
}

// annotationsOf returns the annotations of an update.
func annotationsOf(u update, since, now time.Time, attempts int32) (map[string]string, error) {
	values := map[string]string{}
	if u.roll {
		values[contract.ManualRollingUpdate] = "true"
	}
	if u.record {
		request, err := json.Marshal(contract.DrainRequest{
			Since: since.UTC().Format(time.RFC3339), Last: now.UTC().Format(time.RFC3339), Attempts: attempts,
		})
		if err != nil {
			return nil, fmt.Errorf("encode the drain record: %w", err)
		}
		values[contract.AnnotationDrain] = string(request)
	}
	return values, nil
}
