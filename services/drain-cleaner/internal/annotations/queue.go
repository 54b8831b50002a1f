// Package notes writes on pods what reviews found out: the annotation that asks an operator for the roll, and since when and how
// often the pod's eviction has been asked for. It does so after the answer, for a drain asks again soon should a write fail.
package annotations

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

const (
	// recordEvery is the least time between two writes of the attempts on one pod.
	recordEvery = 30 * time.Second
	// rollEvery is the least time between two writes of the annotation on one pod: longer than a cache takes to show it.
	rollEvery = 3 * time.Second
	// backlog is how many pods may wait to be written; more are left to the next eviction.
	backlog = 1024
	// writeTimeout bounds one write.
	writeTimeout = 10 * time.Second
	writers      = 4
)

// Queue writes; New makes it.
type Queue struct {
	client  kubernetes.Interface
	manager string
	now     func() time.Time
	log     *slog.Logger
	// written is told how each roll that was asked for went.
	written func(ok bool)

	queue chan update
	mu    sync.Mutex
	pods  map[types.UID]*pendingUpdate
}

// pendingUpdate is what has been noted of a pod and not written yet.
type pendingUpdate struct {
	attempts             int32
	since                time.Time
	rolled, recorded     time.Time
	rollQueued, recQueue bool
}

type update struct {
	pod          decide.Pod
	roll, record bool
}

// New makes Queue that write under the field manager.
func New(client kubernetes.Interface, manager string, now func() time.Time, log *slog.Logger, written func(ok bool)) *Queue {
	return &Queue{client: client, manager: manager, now: now, log: log, written: written, queue: make(chan update, backlog), pods: map[types.UID]*pendingUpdate{}}
}

// Add notes an attempt to evict the pod: roll asks for its operator, record for the attempt to be counted.
func (n *Queue) Add(pod *decide.Pod, roll, record bool) {
	if !roll && !record {
		return
	}
	now := n.now()
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.pods[pod.UID]
	if p == nil {
		n.forget(now)
		p = &pendingUpdate{}
		n.pods[pod.UID] = p
	}
	if record {
		p.attempts++
	}
	if since, draining := pod.Draining(now); draining {
		p.since = since
	} else if p.since.IsZero() || now.Sub(p.recorded) > decide.Forgotten {
		p.since = now
	}
	work := update{
		pod:    *pod,
		roll:   roll && !p.rollQueued && now.Sub(p.rolled) >= rollEvery,
		record: record && !p.recQueue && now.Sub(p.recorded) >= recordEvery,
	}
	if !work.roll && !work.record {
		return
	}
	select {
	case n.queue <- work:
		p.rollQueued, p.recQueue = p.rollQueued || work.roll, p.recQueue || work.record
	default:
	}
}

// forget drops pods that nobody has asked about for long; the lock is held.
func (n *Queue) forget(now time.Time) {
	for uid, p := range n.pods {
		if !p.rollQueued && !p.recQueue && now.Sub(p.recorded) > decide.Forgotten && now.Sub(p.rolled) > decide.Forgotten && now.Sub(p.since) > decide.Forgotten {
			delete(n.pods, uid)
		}
	}
}

// Run writes until ctx ends, and then what is still waiting.
func (n *Queue) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for {
				select {
				case work := <-n.queue:
					n.write(ctx, work)
				case <-ctx.Done():
					n.drain(ctx)
					return
				}
			}
		})
	}
	all.Wait()
	return nil
}

func (n *Queue) drain(ctx context.Context) {
	for {
		select {
		case work := <-n.queue:
			n.write(ctx, work)
		default:
			return
		}
	}
}

func (n *Queue) write(ctx context.Context, work update) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	n.mu.Lock()
	p := n.pods[work.pod.UID]
	attempts, since := p.attempts, p.since
	n.mu.Unlock()

	now := n.now()
	patch, err := n.patch(work, since, now, work.pod.Attempts+attempts)
	if err == nil {
		_, err = n.client.CoreV1().Pods(work.pod.Namespace).Patch(ctx, work.pod.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: n.manager})
	}
	// Gone, or another pod of that name: nothing is left to be written.
	gone := apierrors.IsNotFound(err) || apierrors.IsConflict(err)
	if err != nil && !gone {
		n.log.Error("the pod could not be annotated; the next eviction tries again", "pod", work.pod.Namespace+"/"+work.pod.Name, "error", err)
	}
	if work.roll && !gone {
		n.written(err == nil)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if work.roll {
		p.rollQueued = false
	}
	if work.record {
		p.recQueue = false
	}
	if err != nil {
		return
	}
	if work.roll {
		p.rolled = now
		n.log.Info("the pod's roll has been asked for", "pod", work.pod.Namespace+"/"+work.pod.Name, "uid", work.pod.UID)
	}
	if work.record {
		p.recorded, p.attempts = now, p.attempts-attempts
	}
}

// patch changes annotations of just this pod: another one of its name has another uid, and refuses it with a conflict.
func (n *Queue) patch(work update, since, now time.Time, attempts int32) ([]byte, error) {
	annotations := map[string]string{}
	if work.roll {
		annotations[contract.ManualRollingUpdate] = "true"
	}
	if work.record {
		request, err := json.Marshal(contract.DrainRequest{Since: since.UTC().Format(time.RFC3339), Last: now.UTC().Format(time.RFC3339), Attempts: attempts})
		if err != nil {
			return nil, fmt.Errorf("encode the drain's record: %w", err)
		}
		annotations[contract.AnnotationDrain] = string(request)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": work.pod.UID, "annotations": annotations}})
	if err != nil {
		return nil, fmt.Errorf("encode the patch: %w", err)
	}
	return patch, nil
}
