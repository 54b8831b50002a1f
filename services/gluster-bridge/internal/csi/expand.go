//go:build linux

package csi

import (
	"context"
	"errors"
	"reflect"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/gluster"
)

// ControllerExpandVolume enlarges a volume. A smaller size changes nothing, as the specification says.
func (c *Controller) ControllerExpandVolume(
	ctx context.Context, r *csi.ControllerExpandVolumeRequest,
) (*csi.ControllerExpandVolumeResponse, error) {
	if r.GetVolumeId() == "" || r.GetCapacityRange() == nil {
		return nil, status.Error(codes.InvalidArgument, "volume_id and capacity_range must be set")
	}
	size, err := decide.SizeOf(r.GetCapacityRange().GetRequiredBytes(), r.GetCapacityRange().GetLimitBytes())
	if err != nil {
		return nil, status.Error(codes.OutOfRange, err.Error())
	}
	s, id, info, err := c.find(ctx, r.GetVolumeId())
	if err != nil {
		return nil, err
	}
	if id.Whole() {
		if info.Size >= size {
			return &csi.ControllerExpandVolumeResponse{CapacityBytes: info.Size}, nil
		}
		return nil, status.Errorf(codes.OutOfRange, "the volume is a whole GlusterFS volume of %d bytes; enlarge that",
			info.Size)
	}
	held, err := c.lock(id, "ControllerExpandVolume")
	if err != nil {
		return nil, err
	}
	defer held.release()
	m, err := c.expand(ctx, held, s, id, size)
	if err != nil {
		return nil, err
	}
	// A repeated request waits too: the first one may have ended before the bricks had acknowledged the size.
	if err := c.enforce(ctx, s, id, m.info, m.graph); err != nil {
		return nil, err
	}
	return &csi.ControllerExpandVolumeResponse{CapacityBytes: m.info.Size}, nil
}

// expand writes a larger size to the metadata.
func (c *Controller) expand(
	ctx context.Context, held *hold, s decide.Storage, id decide.VolumeID, size int64,
) (made, error) {
	done := make(chan made, 1)
	err := c.do(ctx, held, s, func(ctx context.Context, t *gluster.Tree) error {
		unlock, err := t.Ledger.Lock(ctx, id.Directory, "ControllerExpandVolume")
		if err != nil {
			return err
		}
		defer unlock()
		if err := t.Ledger.Load(ctx, t, false); err != nil {
			return err
		}
		info, found, err := t.Info(id.Directory)
		if err != nil || !found {
			return errors.Join(err, status.Errorf(codes.NotFound, "volume %q does not exist", id))
		}
		if err := c.owned(s, info); err != nil {
			return status.Error(codes.FailedPrecondition, err.Error())
		}
		want := info
		want.Size, want.Storage = max(info.Size, size), s.ID()
		ids, taken := c.projects(s)
		if want, err = t.Reserve(id, want, ids, taken); err != nil {
			return status.Error(codes.OutOfRange, err.Error())
		}
		if !reflect.DeepEqual(want, info) {
			if err := t.SetInfo(id.Directory, want); err != nil {
				t.Refresh(id.Directory)
				return err
			}
		}
		done <- made{want, t.Client.Graph}
		return nil
	})
	if err != nil {
		return made{}, err
	}
	return <-done, nil
}
