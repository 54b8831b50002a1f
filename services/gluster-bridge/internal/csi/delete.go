//go:build linux

package csi

import (
	"context"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/gluster"
)

// DeleteVolume removes, archives or keeps the data, as the reclaim policy of the storage says. The data of a whole
// GlusterFS volume always stays.
func (c *Controller) DeleteVolume(
	ctx context.Context, r *csi.DeleteVolumeRequest,
) (*csi.DeleteVolumeResponse, error) {
	if r.GetVolumeId() == "" {
		return nil, status.Error(codes.InvalidArgument, "volume_id is missing")
	}
	id, err := decide.ParseVolumeID(r.GetVolumeId())
	if err != nil {
		// No volume of this driver has such an id, so it does not exist.
		return &csi.DeleteVolumeResponse{}, nil //nolint:nilerr // the specification asks for OK
	}
	s, gone, err := c.Storages.Get(id.StorageID())
	if gone {
		return nil, status.Errorf(codes.FailedPrecondition,
			"KadaluStorage %s does not exist; create it again, or remove the finalizer of the PersistentVolume to keep the data",
			id.StorageID())
	}
	if err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	held, err := c.lock(id, "DeleteVolume")
	if err != nil {
		return nil, err
	}
	defer held.release()
	if err := c.cancelCopy(ctx, copyKey(s, decide.SourceVolume+id.Directory)); err != nil {
		return nil, err
	}
	if err := c.remove(ctx, held, s, id); err != nil {
		return nil, err
	}
	// The directory is out of the way, so its limit may go.
	if c.Limits != nil && !id.Whole() {
		if err := c.Limits.Delete(ctx, id); err != nil {
			return nil, status.Errorf(codes.Unavailable, "the volume is deleted and its GlusterVolume is not: %v", err)
		}
	}
	if s.Reclaim == kadaluv1alpha1.ReclaimDelete && !id.Whole() {
		go c.emptyTrash(context.WithoutCancel(ctx), s)
	}
	return &csi.DeleteVolumeResponse{}, nil
}

// remove takes a volume away from its storage.
func (c *Controller) remove(ctx context.Context, held *hold, s decide.Storage, id decide.VolumeID) error {
	unique := uuid.NewString()
	return c.do(ctx, held, s, func(ctx context.Context, t *gluster.Tree) error {
		unlock, err := t.Ledger.Lock(ctx, id.Directory, "DeleteVolume")
		if err != nil {
			return err
		}
		defer unlock()
		if id.Whole() {
			return t.RemoveOwner()
		}
		if err := t.Ledger.Load(ctx, t, false); err != nil {
			return err
		}
		// Without its directory the volume is already taken away, and a copy of it can never become complete.
		if exists, err := t.Exists(id.Directory); err != nil {
			return err
		} else if exists {
			if err := unused(t, decide.SourceVolume+id.Directory); err != nil {
				return err
			}
		}
		// Damaged metadata names no owner. The id of the volume says what to delete.
		if info, found, err := t.Info(id.Directory); err == nil && found {
			if err := c.owned(s, info); err != nil {
				return status.Error(codes.FailedPrecondition, err.Error())
			}
		}
		switch s.Reclaim {
		case kadaluv1alpha1.ReclaimArchive:
			err = t.Archive(id.Directory, unique)
		case kadaluv1alpha1.ReclaimRetain:
			err = t.Forget(id.Directory)
		default:
			err = t.MoveAside(id.Directory, unique)
		}
		if err != nil {
			t.Refresh(id.Directory)
			return err
		}
		t.Ledger.Drop(id.Directory)
		return t.Unspool(id.Directory)
	})
}

// emptyTrash removes the data of deleted volumes. What it leaves after an error is removed by the next call.
func (c *Controller) emptyTrash(ctx context.Context, s decide.Storage) {
	unlock, err := c.Locks.Lock("trash of "+s.ID(), "remove")
	if err != nil {
		return // Another call is at it.
	}
	err = c.Pool.Of(s.Volume).Do(ctx, func(ctx context.Context, t *gluster.Tree) error {
		return t.EmptyTrash(ctx)
	}, unlock)
	if err != nil {
		c.Log.Warn("the data of deleted volumes is not removed yet", "storage", s.ID(), "error", err)
	}
}
