package reconcile

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/client-go/tools/events"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/pkg/event"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/claims"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// heldEvery is the time between looks at a claim.
const heldEvery = 2 * time.Second

// ClaimReleased is the reason of the event that says why a claim was given back.
const ClaimReleased = "ClaimReleased"

// Held reconciles the Leases of claims: it gives each claim back when its time has come.
type Held struct {
	Observer
	Claims *claims.Claims
	Events events.EventRecorder
	// LivePolicy reads a policy past the cache; nil where there is none.
	LivePolicy func(ctx context.Context, namespace, name string) (*drainv1alpha1.KafkaDrainPolicy, error)
}

// Reconcile looks at the holders of one Lease.
func (r *Held) Reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	var lease *coordinationv1.Lease
	for _, l := range r.Leases() {
		if l.Name == key.Name {
			lease = l
		}
	}
	left := false
	for _, h := range claims.Read(lease) {
		if h.Policy == "" {
			continue
		}
		policy, err := r.policy(ctx, h)
		if err != nil {
			return controller.Result{}, err
		}
		done, why := decide.Release(h, r.see(ctx, h, policy, true), r.Patience, r.Judge.Now())
		if !done {
			left = true
			continue
		}
		if err := r.Claims.Release(ctx, key.Name, h.UID, h.Since); err != nil {
			return controller.Result{}, fmt.Errorf("release the claim of %s/%s: %w", h.Namespace, h.Pod, err)
		}
		if policy != nil {
			about := policy.DeepCopy()
			about.SetGroupVersionKind(drainv1alpha1.SchemeGroupVersion.WithKind("KafkaDrainPolicy"))
			event.Record(r.Events, about, event.Normal(ClaimReleased, "ReleaseClaim", fmt.Sprintf("%s no longer keeps others from leaving: %s", h.Pod, why)))
		}
	}
	if left {
		return controller.Result{RequeueAfter: heldEvery}, nil
	}
	return controller.Result{}, nil
}

// policy of a holder. One that the cache does not have is asked for: giving a claim back too early is worse than a request.
func (r *Held) policy(ctx context.Context, h decide.Holder) (*drainv1alpha1.KafkaDrainPolicy, error) {
	if p := r.Sources.Policy(h.Namespace, h.Policy); p != nil {
		return p, nil
	}
	return r.LivePolicy(ctx, h.Namespace, h.Policy)
}
