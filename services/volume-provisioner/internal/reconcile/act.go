package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	storageac "github.com/weir-dev/weir/generated/applyconfiguration/storage/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/pkg/event"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// actor carries out plans.
type actor struct {
	kube kubernetes.Interface
	weir versioned.Interface
	// creating records when PersistentVolumes are created.
	creating *activity
}

// outcome is what was done.
type outcome struct {
	events []event.Event
	// released is the number of PersistentVolumes that were made available again.
	released int
	// overtaken is true if another client has written one of the PersistentVolumes since it was read.
	overtaken bool
}

// volumes writes PersistentVolumes and completes the expansion of claims.
func (a actor) volumes(ctx context.Context, plan decide.Plan) (outcome, error) {
	var done outcome
	var failed []error
	pvs := a.kube.CoreV1().PersistentVolumes()
	swap := func(verb string, current, next *corev1.PersistentVolume) bool {
		_, err := apply.CompareAndSwap(ctx, pvs, spec.Manager, current, next)
		done.overtaken = done.overtaken || apply.IsSwapLost(err)
		if err != nil && !apply.IsSwapLost(err) {
			failed = append(failed, fmt.Errorf("%s PersistentVolume %s: %w", verb, next.Name, err))
		}
		return err == nil
	}
	var created, released []string
	if len(plan.Create) > 0 {
		a.creating.begin()
		defer a.creating.end()
	}
	for _, pv := range plan.Create {
		if swap("create", nil, pv) {
			created = append(created, fmt.Sprintf("%s on node %s with directory %s", pv.Name,
				pv.Annotations[storagev1alpha1.AnnotationNode], pv.Spec.Local.Path))
		}
	}
	for _, u := range plan.Update {
		if swap("update", u.Live, u.Want) {
			done.events = append(done.events, u.Event)
		}
	}
	for _, r := range plan.Release {
		old, replacement := r.Live.Spec.ClaimRef, r.Want.Spec.ClaimRef
		uid, err := a.claimUID(ctx, old)
		switch {
		case err != nil:
			failed = append(failed, err)
		case uid != "" && (old.UID == "" || uid == old.UID):
			// The claim exists. The caches are newer than the API server that answered.
		case old.Name != replacement.Name || replacement.UID == "" || replacement.UID == uid:
			if swap("release", r.Live, r.Want) {
				released = append(released, fmt.Sprintf("%s for claim %s", r.Live.Name, old.Name))
			}
		}
	}
	for _, pv := range plan.Delete {
		if err := apply.IgnoreGone(apply.Delete(ctx, pvs, pv)); err != nil {
			failed = append(failed, fmt.Errorf("delete PersistentVolume %s: %w", pv.Name, err))
			continue
		}
		done.events = append(done.events, event.Normal(storagev1alpha1.EventVolumeMoved, "Delete",
			fmt.Sprintf("the node of PersistentVolume %s was renamed; it is created again", pv.Name)))
	}
	for _, e := range plan.Expand {
		failed = append(failed, a.expand(ctx, e))
	}
	// One event for all PersistentVolumes: the API server has to store each event.
	if len(created) > 0 {
		done.events = append(done.events, event.Normal(storagev1alpha1.EventVolumeCreated, "Create",
			"created PersistentVolumes: "+strings.Join(created, ", ")))
	}
	if done.released = len(released); len(released) > 0 {
		done.events = append(done.events, event.Normal(storagev1alpha1.EventVolumeReleased, "Release",
			"a new claim binds to PersistentVolumes whose claim was deleted: "+strings.Join(released, ", ")))
	}
	return done, errors.Join(failed...)
}

// reschedule removes the node that the scheduler has chosen for a claim. The scheduler chooses again.
func (a actor) reschedule(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	_, err := apply.MergePatch(ctx, a.kube.CoreV1().PersistentVolumeClaims(claim.Namespace), spec.Manager, claim,
		apply.SameVersion, map[string]any{"metadata": map[string]any{
			"annotations": map[string]any{spec.AnnotationSelectedNode: nil},
		}})
	if err := apply.IgnoreGone(err); err != nil {
		return fmt.Errorf("remove the annotation %s of claim %s/%s: %w", spec.AnnotationSelectedNode, claim.Namespace,
			claim.Name, err)
	}
	return nil
}

// claimUID returns the uid of a claim according to a live read; empty if the claim does not exist.
func (a actor) claimUID(ctx context.Context, ref *corev1.ObjectReference) (types.UID, error) {
	claim, err := a.kube.CoreV1().PersistentVolumeClaims(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read claim %s/%s: %w", ref.Namespace, ref.Name, err)
	}
	return claim.UID, nil
}

func (a actor) expand(ctx context.Context, e decide.Expansion) error {
	want := corev1ac.PersistentVolumeClaim(e.Claim.Name, e.Claim.Namespace).WithUID(e.Claim.UID).
		WithStatus(corev1ac.PersistentVolumeClaimStatus().
			WithCapacity(corev1.ResourceList{corev1.ResourceStorage: e.Capacity}))
	_, err := apply.Status(ctx, a.kube.CoreV1().PersistentVolumeClaims(e.Claim.Namespace), spec.Manager, want)
	if err := apply.IgnoreGone(err); err != nil {
		return fmt.Errorf("complete the expansion of claim %s/%s: %w", e.Claim.Namespace, e.Claim.Name, err)
	}
	return nil
}

// setStatus writes the status of a set, unless another client has written the set since it was read. It returns the set
// as the API server returned it, or nil if it was not written.
func (a actor) setStatus(
	ctx context.Context, s *observed.State, plan decide.Plan,
) (*storagev1alpha1.KafkaLocalVolumeSet, error) {
	// The status has records that are carried over from the status that was read, such as the nodes of volumes. A cache
	// that lags must not bring back older ones.
	set := *s.Set
	set.Status = plan.Status
	written, err := apply.UpdateStatus(ctx, a.weir.StorageV1alpha1().KafkaLocalVolumeSets(set.Namespace), spec.Manager,
		&set)
	switch {
	case err == nil:
		return written, nil
	case apply.IsGone(err):
		return nil, nil
	}
	return nil, fmt.Errorf("write the status: %w", err)
}

// node writes the work of an agent.
func (a actor) node(
	ctx context.Context, agent *storagev1alpha1.LocalVolumeNode, work storagev1alpha1.LocalVolumeNodeSpec,
) (*storagev1alpha1.LocalVolumeNode, error) {
	patch, err := apply.Replacement(agent.Spec, work)
	if err != nil {
		return nil, err
	}
	// A cache that lags must not remove a directory: the spec records the volumes of claims and of deleted sets.
	written, err := apply.MergePatch(ctx, a.weir.StorageV1alpha1().LocalVolumeNodes(), spec.Manager, agent,
		apply.SameVersion, map[string]any{"spec": patch})
	switch {
	case err == nil:
		return written, nil
	case apply.IsGone(err):
		return nil, nil
	}
	return nil, fmt.Errorf("write the spec of LocalVolumeNode %s: %w", agent.Name, err)
}

// wipe writes the status of a VolumeWipe, and then deletes the PersistentVolume.
func (a actor) wipe(ctx context.Context, wipe *storagev1alpha1.VolumeWipe, plan decide.WipePlan, changed bool) error {
	if changed {
		status, err := apply.Convert[storageac.VolumeWipeStatusApplyConfiguration](plan.Status)
		if err != nil {
			return fmt.Errorf("convert the status: %w", err)
		}
		want := storageac.VolumeWipe(wipe.Name, wipe.Namespace).WithUID(wipe.UID).
			WithResourceVersion(wipe.ResourceVersion).WithStatus(status)
		_, err = apply.Status(ctx, a.weir.StorageV1alpha1().VolumeWipes(wipe.Namespace), spec.Manager, want)
		switch {
		case apply.IsGone(err):
			// The decision is older than the VolumeWipe.
			return nil
		case err != nil:
			return fmt.Errorf("apply the status: %w", err)
		}
	}
	if plan.Delete == nil {
		return nil
	}
	if err := apply.IgnoreGone(apply.Delete(ctx, a.kube.CoreV1().PersistentVolumes(), plan.Delete)); err != nil {
		return fmt.Errorf("delete PersistentVolume %s: %w", plan.Delete.Name, err)
	}
	return nil
}
