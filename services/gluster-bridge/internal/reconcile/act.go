//go:build linux

package reconcile

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	storagev1ac "k8s.io/client-go/applyconfigurations/storage/v1"
	"k8s.io/client-go/kubernetes"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/pkg/condition"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// actor carries out plans.
type actor struct {
	kube kubernetes.Interface
	weir versioned.Interface
	now  func() time.Time
	// written paces writes of the status.
	written *controller.Pace
}

// statusInterval is the shortest time between two writes of a status of which only the numbers of volumes change. Many
// volumes that are created one after the other change them all the time.
const statusInterval = time.Second

// act carries out the plan for a storage. It returns the time after which the status has to be written, or 0.
func (a *actor) act(ctx context.Context, state decide.State, plan decide.Plan) (later time.Duration, err error) {
	ks := state.Storage
	storages := a.weir.KadaluV1alpha1().KadaluStorages(ks.Namespace)
	classes := a.kube.StorageV1().StorageClasses()
	for _, gv := range plan.DeleteVolumes {
		if err := apply.IgnoreGone(apply.Delete(ctx, a.weir.StorageV1alpha1().GlusterVolumes(), gv)); err != nil {
			return 0, fmt.Errorf("delete GlusterVolume %s: %w", gv.Name, err)
		}
	}
	if plan.DeleteClass != nil {
		if err := apply.IgnoreGone(apply.Delete(ctx, classes, plan.DeleteClass)); err != nil {
			return 0, fmt.Errorf("delete StorageClass %s: %w", plan.DeleteClass.Name, err)
		}
	}
	if plan.Finalizers != nil {
		written, err := apply.MergePatch(ctx, storages, decide.Manager, ks, apply.SameVersion, map[string]any{
			"metadata": map[string]any{"finalizers": *plan.Finalizers},
		})
		switch {
		case err == nil:
			ks = written
		case !apply.IsGone(err):
			return 0, fmt.Errorf("write the finalizers of KadaluStorage %s/%s: %w", ks.Namespace, ks.Name, err)
		}
	}
	if plan.Class != nil {
		if err := a.applyClass(ctx, state, plan.Class); err != nil {
			return 0, err
		}
	}
	if plan.Status == nil {
		return 0, nil
	}
	want := *plan.Status
	want.Conditions = condition.Merge(ks.Status.Conditions, want.Conditions, ks.Generation, a.now())
	if equality.Semantic.DeepEqual(ks.Status, want) {
		return 0, nil
	}
	if later := a.written.Wait(keyOfStorage(ks)); later > 0 && decide.OnlyVolumes(ks.Status, want) {
		return later, nil
	}
	// The event of a newer version reconciles again.
	next := *ks
	next.Status = want
	_, err = apply.UpdateStatus(ctx, storages, decide.Manager, &next)
	if err := apply.IgnoreGone(err); err != nil {
		return 0, fmt.Errorf("write the status of KadaluStorage %s/%s: %w", ks.Namespace, ks.Name, err)
	}
	a.written.Note(keyOfStorage(ks))
	return 0, nil
}

func keyOfStorage(ks *kadaluv1alpha1.KadaluStorage) controller.Key {
	return controller.Key{Namespace: ks.Namespace, Name: ks.Name}
}

// applyClass writes the StorageClass. Its provisioner, parameters, reclaim policy and binding mode are immutable: if
// they differ, the class is deleted and created again, which changes no PersistentVolume.
func (a *actor) applyClass(
	ctx context.Context, state decide.State, want *storagev1ac.StorageClassApplyConfiguration,
) error {
	classes := a.kube.StorageV1().StorageClasses()
	if state.Class != nil {
		same, err := apply.UpToDate(state.Class, want, decide.Manager, storagev1ac.ExtractStorageClass)
		if err != nil || same {
			return err
		}
	}
	_, err := apply.Object(ctx, classes, decide.Manager, want)
	if state.Class != nil && apply.IsRejected(err) {
		if err := apply.IgnoreGone(apply.Delete(ctx, classes, state.Class)); err != nil {
			return fmt.Errorf("delete the changed StorageClass %s: %w", state.Class.Name, err)
		}
		_, err = apply.Object(ctx, classes, decide.Manager, want)
	}
	if err != nil {
		return fmt.Errorf("apply StorageClass %s: %w", *want.Name, err)
	}
	return nil
}
