package reconcile

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/events"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/pkg/event"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/claims"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

const (
	// drainingInterval is the shortest time between reconciles of a policy with pods that are being drained.
	drainingInterval = 3 * time.Second
	// maxDrainingInterval is the longest, for drains that depend on neither Kafka nor a connector.
	maxDrainingInterval = 30 * time.Second
	// unsyncedInterval is the time until a policy is reconciled again whose pod cache is not filled.
	unsyncedInterval = 100 * time.Millisecond
	// claimInterval is the time between reconciles of a Lease with claims.
	claimInterval = 2 * time.Second
)

// Policies reconciles KafkaDrainPolicies: it writes their status and removes the records of drains that ended.
type Policies struct {
	Observer
	Kube kubernetes.Interface
	Weir versioned.Interface
	// Manager is the field manager.
	Manager string
	// ProbeEvery is the time between two queries of a cluster that has no drain. The status reports that Kafka cannot
	// be queried before a drain has to wait for it.
	ProbeEvery time.Duration
	drains     drainChanges
}

// Reconcile updates the status of one policy.
func (r *Policies) Reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	policy := r.Caches.Policy(key.Namespace, key.Name)
	if policy == nil {
		r.drains.forget(key)
		return controller.Result{}, nil
	}
	state, synced := r.observePolicy(ctx, policy)
	if !synced {
		return controller.Result{RequeueAfter: unsyncedInterval}, nil
	}
	plan := decide.Status(state, r.Evaluator.Now())
	changed, err := r.act(ctx, policy, plan)
	if err != nil {
		return controller.Result{}, err
	}
	if len(plan.Status.Drains) > 0 {
		return controller.Result{RequeueAfter: r.drains.interval(key, policy, changed, r.Evaluator.Now())}, nil
	}
	r.drains.forget(key)
	if policy.Spec.BootstrapServers != "" {
		return controller.Result{RequeueAfter: r.ProbeEvery}, nil
	}
	return controller.Result{}, nil
}

// drainChanges holds when the drains of policies last changed.
type drainChanges struct {
	mu sync.Mutex
	at map[controller.Key]time.Time
}

// interval returns the time until the next reconcile of a policy with drains. Watches report changes of its pods,
// claims and policies. Nodes, budgets and deadlines are polled, the less often the longer nothing has changed.
func (c *drainChanges) interval(
	key controller.Key, policy *drainv1alpha1.KafkaDrainPolicy, changed bool, now time.Time,
) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == nil {
		c.at = map[controller.Key]time.Time{}
	}
	last, known := c.at[key]
	if changed || !known {
		last = now
		c.at[key] = now
	}
	if policy.Spec.BootstrapServers != "" || policy.Spec.Role == drainv1alpha1.RoleConnect {
		return drainingInterval
	}
	return min(max(now.Sub(last), drainingInterval), maxDrainingInterval)
}

func (c *drainChanges) forget(key controller.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.at, key)
}

// Claims reconciles the Leases of claims: it releases each claim whose pod has been replaced.
type Claims struct {
	Observer
	Claims *claims.Claims
	Events events.EventRecorder
}

// Reconcile releases the claims of one Lease that are no longer needed.
func (r *Claims) Reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	held := false
	for _, h := range claims.Read(r.Caches.Lease(key.Name)) {
		if h.Policy == "" {
			continue
		}
		policy, err := r.policyOf(ctx, h)
		if err != nil {
			return controller.Result{}, err
		}
		released, reason := decide.Release(h, r.observeHolder(ctx, h, policy, true), r.Patience, r.Evaluator.Now())
		if !released {
			held = true
			continue
		}
		if err := r.Claims.Release(ctx, key.Name, h.UID, h.Since); err != nil {
			return controller.Result{}, fmt.Errorf("release the claim of %s/%s: %w", h.Namespace, h.Pod, err)
		}
		r.recordRelease(policy, h, reason)
	}
	if held {
		return controller.Result{RequeueAfter: claimInterval}, nil
	}
	return controller.Result{}, nil
}

// policyOf returns the policy of a holder, or nil. It asks the API server about a policy that is not in the cache: to
// release a claim too early is worse than a request.
func (r *Claims) policyOf(ctx context.Context, h decide.Holder) (*drainv1alpha1.KafkaDrainPolicy, error) {
	if p := r.Caches.Policy(h.Namespace, h.Policy); p != nil {
		return p, nil
	}
	return r.Caches.LivePolicy(ctx, h.Namespace, h.Policy)
}

// recordRelease records an event on the policy.
func (r *Claims) recordRelease(policy *drainv1alpha1.KafkaDrainPolicy, h decide.Holder, reason string) {
	if policy == nil {
		return
	}
	regarding := policy.DeepCopy()
	regarding.SetGroupVersionKind(drainv1alpha1.SchemeGroupVersion.WithKind("KafkaDrainPolicy"))
	message := fmt.Sprintf("pod %s no longer delays other drains: %s", h.Pod, reason)
	event.Record(r.Events, regarding, event.Normal(drainv1alpha1.EventClaimReleased, "ReleaseClaim", message))
}
