package reconcile

import (
	"context"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/client-go/tools/events"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/pkg/event"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// claims reconciles PersistentVolumeClaims whose StorageClass has the provisioner and that no set describes.
type claims struct {
	caches *caches
	act    actor
	events events.EventRecorder
	now    func() time.Time
	// reserved are those of sets.
	reserved *reservations

	mu sync.Mutex
	// reported has the last problem of each claim, so that an event is not repeated.
	reported map[controller.Key]string
}

func (r *claims) Reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	claim, class := r.caches.provisioned(key)
	if claim == nil {
		r.report(nil, key, "")
		return controller.Result{}, nil
	}
	parsed, err := spec.ParseClass(class, r.caches.settings)
	if err != nil {
		r.report(claim, key, err.Error())
		return controller.Result{}, nil
	}
	state := r.caches.observeClaim(claim, class, parsed, r.now())
	plan := decide.Claim(state)
	if plan.Reserves {
		return controller.Result{}, r.reserve(ctx, claim, class, parsed)
	}
	done, err := r.act.volumes(ctx, plan.Plan)
	for _, e := range done.events {
		event.Record(r.events, claim, e)
	}
	if err == nil && plan.Reschedule != "" {
		if err = r.act.reschedule(ctx, claim); err == nil {
			event.Record(r.events, claim, event.Warning(storagev1alpha1.EventProvisioningFailed, "Reschedule", plan.Reschedule))
		}
		return controller.Result{}, err
	}
	r.report(claim, key, plan.Problem)
	return controller.Result{}, err
}

// reserve decides again with all earlier reservations, and writes the directory into the LocalVolumeNode, before
// another volume can be placed.
func (r *claims) reserve(
	ctx context.Context, claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, parsed spec.Class,
) error {
	r.reserved.Lock()
	defer r.reserved.Unlock()
	if err := r.reserved.start(ctx, r.act.weir); err != nil {
		return err
	}
	sets := r.reserved.allSets(r.caches)
	state := claimState(claim, parsed, r.now())
	r.reserved.complete(r.caches, state.State, r.reserved.reserving(sets))
	state.Expandable = expandable(class)
	plan := decide.Claim(state)
	agent := state.Agents[plan.Node()]
	if !plan.Reserves || agent == nil {
		// The caches are older than the LocalVolumeNode, or the agent has not created it. The next event reconciles again.
		return nil
	}
	placed := state.Set.DeepCopy()
	placed.Status = plan.Status
	node := r.caches.nodeState(agent)
	node.Sets, node.Selecting = append(slices.Clip(sets), placed), sets
	written, err := r.act.node(ctx, agent, decide.Node(node))
	if err != nil {
		// The LocalVolumeNode may have been written. The next reservation reads it.
		r.reserved.started = false
		return err
	}
	if written != nil {
		r.reserved.agents.add(written)
	}
	return nil
}

// report records an event about a problem that is new.
func (r *claims) report(claim *corev1.PersistentVolumeClaim, key controller.Key, problem string) {
	r.mu.Lock()
	before := r.reported[key]
	if problem == "" {
		delete(r.reported, key)
	} else {
		r.reported[key] = problem
	}
	r.mu.Unlock()
	if problem != "" && problem != before {
		event.Record(r.events, claim, event.Warning(storagev1alpha1.EventProvisioningFailed, "Provision", problem))
	}
}

// provisioned returns a claim and its StorageClass, if the class has the provisioner and no set describes the claim.
func (c *caches) provisioned(key controller.Key) (*corev1.PersistentVolumeClaim, *storagev1.StorageClass) {
	claim, found := cacheutil.Lookup[*corev1.PersistentVolumeClaim](c.claims, key.Namespace, key.Name)
	if !found || claim.DeletionTimestamp != nil || len(c.setsWithClaim(key.Namespace, key.Name)) > 0 {
		return nil, nil
	}
	class, found := cacheutil.Lookup[*storagev1.StorageClass](c.classes, "", spec.ClassOf(claim))
	if !found || class.Provisioner != storagev1alpha1.Provisioner {
		return nil, nil
	}
	return claim, class
}

func (c *caches) observeClaim(
	claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, parsed spec.Class, now time.Time,
) *decide.ClaimState {
	s := claimState(claim, parsed, now)
	c.observeCached(s.State)
	s.Expandable = expandable(class)
	return s
}

// claimState returns the state of a claim, without the objects that a decision depends on.
func claimState(claim *corev1.PersistentVolumeClaim, parsed spec.Class, now time.Time) *decide.ClaimState {
	return &decide.ClaimState{
		State: &observed.State{Set: spec.ClaimSet(claim, parsed), Now: now, Chosen: true}, Claim: claim,
	}
}

func expandable(class *storagev1.StorageClass) bool {
	return class.AllowVolumeExpansion != nil && *class.AllowVolumeExpansion
}

// classBasePaths returns the base paths of the valid StorageClasses with the provisioner.
func (c *caches) classBasePaths() []string {
	var found []string
	for _, class := range cacheutil.List[*storagev1.StorageClass](c.classes) {
		if class.Provisioner != storagev1alpha1.Provisioner {
			continue
		}
		if parsed, err := spec.ParseClass(class, c.settings); err == nil {
			found = append(found, parsed.BasePath)
		}
	}
	return found
}
