//go:build linux

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	storageac "github.com/weir-dev/weir/generated/applyconfiguration/storage/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/pkg/condition"
	"github.com/weir-dev/weir/pkg/controller"
	pkgcsi "github.com/weir-dev/weir/pkg/csi"
	"github.com/weir-dev/weir/pkg/event"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/gluster"
)

// volumes reconciles GlusterVolumes with the metadata on the GlusterFS volumes. Its keys are volumes, not
// GlusterVolumes, because either of the two can be missing: the namespace of a key is the id of the storage, its name
// the directory. It is also what the CSI calls write and wait with.
type volumes struct {
	controllers *Controllers
	weir        versioned.Interface
	events      events.EventRecorder
	log         *slog.Logger
	now         func() time.Time
	projects    decide.ProjectRange
	pool        *gluster.Pool
	locks       *pkgcsi.Locks
	timeout     time.Duration

	mu sync.Mutex
	// changes are closed after the next change of a GlusterVolume, by name.
	changes map[string]chan struct{}
	// shown are the sizes that statfs has shown, by volume.
	shown map[decide.VolumeID]int64
	// renumbered are the numbers of project ids that bricks have refused, by volume.
	renumbered map[decide.VolumeID]int
}

// maxRenumbered is how often a volume gets another project id until the process is restarted.
const maxRenumbered = 5

// busyRetry is the time after which a volume is looked at again that a CSI call is changing, statfsRetry the one for a
// volume whose limit statfs does not show.
const (
	busyRetry   = time.Second
	statfsRetry = 30 * time.Second
)

// volumeKey is the key of a volume.
func volumeKey(id decide.VolumeID) controller.Key {
	return controller.Key{Namespace: id.StorageID(), Name: id.Directory}
}

// keyOf returns the key of a GlusterVolume that gluster-bridge manages.
func keyOf(gv *storagev1alpha1.GlusterVolume) []controller.Key {
	if id, ok := decide.VolumeOf(gv); ok && apply.ManagedBy(gv, decide.Manager) {
		return []controller.Key{volumeKey(id)}
	}
	return nil
}

// Reconcile makes the GlusterVolume of one volume match its metadata.
func (v *volumes) Reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	id, err := decide.ParseVolumeID(key.Namespace + "/" + key.Name)
	if err != nil || id.Whole() {
		return controller.Result{}, controller.Terminal(fmt.Errorf("volume %s: %w", key, err))
	}
	state := v.observe(ctx, id)
	if state.Busy {
		return controller.Result{RequeueAfter: busyRetry}, nil
	}
	plan := decide.Volume(state)
	if plan.Renumber && !v.mayRenumber(id) {
		plan.Renumber = false
	}
	if plan.Allocate || plan.Renumber {
		if err := v.allocate(ctx, state, plan.Renumber); err != nil {
			return controller.Result{}, fmt.Errorf("adopt volume %s: %w", id, err)
		}
		state = v.observe(ctx, id)
		plan = decide.Volume(state)
	}
	return v.act(ctx, state, plan)
}

func (v *volumes) act(
	ctx context.Context, state decide.VolumeState, plan decide.VolumePlan,
) (controller.Result, error) {
	id := state.ID
	switch {
	case plan.Recover:
		return controller.Result{}, v.recover(ctx, state)
	case plan.Delete:
		return controller.Result{}, v.delete(ctx, state.Volume)
	case plan.Apply != nil:
		if _, err := apply.Object(ctx, v.client(), decide.Manager, plan.Apply); err != nil {
			return controller.Result{}, fmt.Errorf("apply GlusterVolume %s: %w", *plan.Apply.Name, err)
		}
	}
	result := controller.Result{}
	if state.Mode == kadaluv1alpha1.QuotaExternal && state.Info != nil && !state.Shown {
		result.RequeueAfter = statfsRetry
	}
	if state.Volume == nil || plan.Conditions == nil {
		return result, nil
	}
	if err := v.setConditions(ctx, state.Volume, plan.Conditions); err != nil {
		return result, fmt.Errorf("write the status of the GlusterVolume of volume %s: %w", id, err)
	}
	return result, nil
}

// observe reads the state of a volume from the caches and the ledger. Only if the mode is External it calls statfs.
func (v *volumes) observe(ctx context.Context, id decide.VolumeID) decide.VolumeState {
	state := decide.VolumeState{ID: id, Busy: v.locks.Held(id.String())}
	if gv, found := v.cached(id); found {
		state.Volume = gv
	}
	s, gone, err := v.controllers.Get(id.StorageID())
	if gone || err != nil {
		return state
	}
	state.Storage, state.Mode = &s, v.Mode(s)
	state.Probe = v.controllers.probes.last(storageKey(id))
	ledger := v.pool.Of(s.Volume).Ledger()
	if ledger == nil || !s.Native {
		return state
	}
	info, found, listed, damaged := ledger.Get(id.Directory)
	state.Listed = listed
	if !found || damaged != nil {
		return state
	}
	if info.Storage != "" && info.Storage != id.StorageID() {
		if _, gone, _ := v.controllers.Get(info.Storage); gone {
			info.Storage = ""
		}
	}
	state.Info = &info
	if state.Mode == kadaluv1alpha1.QuotaExternal && !state.Busy {
		state.Shown = v.shows(ctx, s, id, info.Size)
	}
	return state
}

func storageKey(id decide.VolumeID) controller.Key {
	return controller.Key{Namespace: id.Namespace, Name: id.Storage}
}

func (v *volumes) cached(id decide.VolumeID) (*storagev1alpha1.GlusterVolume, bool) {
	return cacheutil.Lookup[*storagev1alpha1.GlusterVolume](v.controllers.caches.glusterVolumes, "",
		decide.GlusterVolumeName(id))
}

// shows reports whether statfs shows a size. It asks once for each size.
func (v *volumes) shows(ctx context.Context, s decide.Storage, id decide.VolumeID, size int64) bool {
	v.mu.Lock()
	known := v.shown[id] == size
	v.mu.Unlock()
	if known {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	shows := make(chan bool, 1)
	err := v.pool.Of(s.Volume).Do(ctx, func(ctx context.Context, t *gluster.Tree) error {
		shown, err := t.Shows(ctx, id.Directory, size)
		shows <- shown.Done()
		return err
	}, func() {})
	if err != nil || !<-shows {
		return false
	}
	v.Shown(id, size)
	return true
}

func (v *volumes) mayRenumber(id decide.VolumeID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.renumbered[id]++
	return v.renumbered[id] <= maxRenumbered
}

// allocate gives a volume of kadalu a project id, or a volume another one if a brick has refused its id.
func (v *volumes) allocate(ctx context.Context, state decide.VolumeState, again bool) error {
	id := state.ID
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	err := v.pool.Of(state.Storage.Volume).Do(ctx, func(ctx context.Context, t *gluster.Tree) error {
		unlock, err := t.Ledger.Lock(ctx, id.Directory, "Adopt")
		if err != nil {
			return err
		}
		defer unlock()
		info, found, err := t.Info(id.Directory)
		if err != nil || !found {
			t.Refresh(id.Directory)
			return err
		}
		gv := state.Volume
		switch {
		case again && gv != nil && info.ProjectID == gv.Spec.ProjectID:
			v.log.Warn("a brick refuses the project id of a volume; it gets another one", "volume", id.String(), "id",
				info.ProjectID)
			_, err = t.Renumber(id, info, v.projects, v.Taken)
			return err
		case info.ProjectID == 0 && gv != nil:
			// The GlusterVolume still has the id if the metadata comes from an old backup.
			info.ProjectID = gv.Spec.ProjectID
		}
		_, err = t.Adopt(id, info, v.projects, v.Taken)
		return err
	}, func() {})
	if err == nil && state.Info.ProjectID == 0 {
		v.event(id, event.Normal(kadaluv1alpha1.EventVolumeAdopted, "Adopt", "adopted volume "+id.Directory))
	}
	return err
}

// recover writes missing metadata again if the directory of the volume exists, and deletes the GlusterVolume otherwise.
func (v *volumes) recover(ctx context.Context, state decide.VolumeState) error {
	id := state.ID
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	var unneeded *storagev1alpha1.GlusterVolume
	restored := false
	err := v.pool.Of(state.Storage.Volume).Do(ctx, func(ctx context.Context, t *gluster.Tree) error {
		unlock, err := t.Ledger.Lock(ctx, id.Directory, "Recover")
		if err != nil {
			return err
		}
		defer unlock()
		if _, found, err := t.Info(id.Directory); err == nil && found {
			t.Refresh(id.Directory)
			return nil
		}
		exists, err := t.Exists(id.Directory)
		if err != nil {
			return err
		}
		// In this order: a DeleteVolume that keeps the data either still runs, or has deleted the GlusterVolume.
		if v.locks.Held(id.String()) {
			return errors.New("a CSI call is changing the volume")
		}
		live, err := v.client().Get(ctx, decide.GlusterVolumeName(id), metav1.GetOptions{})
		if err != nil {
			return apply.IgnoreNotFound(err)
		}
		if !exists {
			unneeded = live
			return nil
		}
		info := decide.NewInfo(id.Directory, live.Spec.CapacityBytes)
		info.Name, info.Storage, info.ProjectID = "", id.StorageID(), live.Spec.ProjectID
		restored = true
		return t.Restore(id.Directory, info)
	}, func() {})
	switch {
	case err != nil:
		return fmt.Errorf("restore the metadata of volume %s: %w", id, err)
	case unneeded != nil:
		return v.delete(ctx, unneeded)
	case restored:
		v.log.Warn("restored the metadata of a volume from its GlusterVolume", "volume", id.String())
		v.event(id, event.Warning(kadaluv1alpha1.EventMetadataRestored, "Restore",
			"the metadata of volume "+id.Directory+" was missing or damaged; it was written again"))
		v.controllers.volumes.Enqueue(volumeKey(id))
	}
	return nil
}

func (v *volumes) event(id decide.VolumeID, e event.Event) {
	key := storageKey(id)
	if ks, found := cacheutil.Lookup[*kadaluv1alpha1.KadaluStorage](v.controllers.caches.storages, key.Namespace,
		key.Name); found && v.events != nil {
		event.Record(v.events, ks, e)
	}
}

// setConditions applies the conditions. Each quotad applies its own bricks in the same status.
func (v *volumes) setConditions(
	ctx context.Context, gv *storagev1alpha1.GlusterVolume, want []metav1.Condition,
) error {
	merged := condition.Merge(gv.Status.Conditions, want, gv.Generation, v.now())
	if sameConditions(gv.Status.Conditions, merged) {
		return nil
	}
	status := storageac.GlusterVolumeStatus().WithConditions(condition.Apply(merged)...)
	_, err := apply.Status(ctx, v.client(), decide.Manager,
		storageac.GlusterVolume(gv.Name).WithUID(gv.UID).WithStatus(status))
	return apply.IgnoreGone(err)
}

func (v *volumes) delete(ctx context.Context, gv *storagev1alpha1.GlusterVolume) error {
	if err := apply.IgnoreGone(apply.Delete(ctx, v.client(), gv)); err != nil {
		return fmt.Errorf("delete GlusterVolume %s: %w", gv.Name, err)
	}
	return nil
}

// live returns a GlusterVolume from the API, or nil.
func (v *volumes) live(ctx context.Context, name string) (*storagev1alpha1.GlusterVolume, error) {
	gv, err := v.client().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // no GlusterVolume is not an error
	}
	return gv, err
}
