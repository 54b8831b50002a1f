//go:build linux

package reconcile

import (
	"context"
	"maps"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	storageclient "github.com/weir-dev/weir/generated/clientset/versioned/typed/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

func (v *volumes) client() storageclient.GlusterVolumeInterface {
	return v.weir.StorageV1alpha1().GlusterVolumes()
}

// Projects is the range of the project ids.
func (v *volumes) Projects() decide.ProjectRange { return v.projects }

// Taken reports whether a GlusterVolume has a project id.
func (v *volumes) Taken(project int64) bool {
	return len(cacheutil.ByIndex[*storagev1alpha1.GlusterVolume](v.controllers.caches.glusterVolumes, byProject, "",
		projectKey(project))) > 0
}

// Mode returns the quota mode in effect.
func (v *volumes) Mode(s decide.Storage) kadaluv1alpha1.QuotaMode { return v.controllers.modeOf(s) }

// Write writes the GlusterVolume of a volume. It writes nothing if the cache has it already.
func (v *volumes) Write(
	ctx context.Context, s decide.Storage, id decide.VolumeID, info decide.Info, volumeID string,
) (*storagev1alpha1.GlusterVolume, error) {
	want := decide.GlusterVolume(id, info, s.Volume.Name, volumeID)
	if gv, found := v.cached(id); found && !decide.Replaces(gv, id, info, s.Volume.Name) &&
		gv.Spec.CapacityBytes == info.Size && gv.Spec.VolumeID == volumeID && gv.DeletionTimestamp == nil {
		return gv, nil
	}
	written, err := apply.Object(ctx, v.client(), decide.Manager, want)
	if !apply.IsRejected(err) {
		return written, err
	}
	gv, getErr := v.live(ctx, *want.Name)
	if getErr != nil || gv == nil || !decide.Replaces(gv, id, info, s.Volume.Name) {
		return nil, err
	}
	if err := v.delete(ctx, gv); err != nil {
		return nil, err
	}
	return apply.Object(ctx, v.client(), decide.Manager, want)
}

// Reported returns what the bricks report about a written GlusterVolume, and a channel that is closed after the next
// change.
func (v *volumes) Reported(
	written *storagev1alpha1.GlusterVolume, bricks, offline []string,
) (decide.Acknowledgement, <-chan struct{}) {
	v.mu.Lock()
	changed := v.changes[written.Name]
	if changed == nil {
		changed = make(chan struct{})
		v.changes[written.Name] = changed
	}
	v.mu.Unlock()
	gv, found := cacheutil.Lookup[*storagev1alpha1.GlusterVolume](v.controllers.caches.glusterVolumes, "", written.Name)
	if !found || gv.UID != written.UID {
		gv = &storagev1alpha1.GlusterVolume{}
	}
	return decide.Acknowledged(gv, written.Generation, bricks, offline), changed
}

// changed wakes the calls that wait for a GlusterVolume.
func (v *volumes) changed(object any) {
	gv, ok := object.(*storagev1alpha1.GlusterVolume)
	if !ok {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if c := v.changes[gv.Name]; c != nil {
		close(c)
		delete(v.changes, gv.Name)
	}
}

// Delete deletes the GlusterVolume of a volume. The cache may lag behind a GlusterVolume that was just written.
func (v *volumes) Delete(ctx context.Context, id decide.VolumeID) error {
	v.mu.Lock()
	delete(v.shown, id)
	delete(v.renumbered, id)
	v.mu.Unlock()
	if gv, found := v.cached(id); found {
		if err := apply.Delete(ctx, v.client(), gv); err == nil || !apply.IsGone(err) {
			return err
		}
	}
	gv, err := v.live(ctx, decide.GlusterVolumeName(id))
	if err != nil || gv == nil {
		return err
	}
	return v.delete(ctx, gv)
}

// Shown records that statfs shows the limit of a volume.
func (v *volumes) Shown(id decide.VolumeID, size int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shown[id] = size
}

// forgetShown makes the next reconciles call statfs again.
func (v *volumes) forgetShown(storage controller.Key) {
	v.mu.Lock()
	defer v.mu.Unlock()
	maps.DeleteFunc(v.shown, func(id decide.VolumeID, _ int64) bool { return storageKey(id) == storage })
}

func sameConditions(a, b []metav1.Condition) bool { return equality.Semantic.DeepEqual(a, b) }
