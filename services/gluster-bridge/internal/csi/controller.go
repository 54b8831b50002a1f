//go:build linux

// Package csi has the CSI services of gluster-bridge: the controller service creates directories on GlusterFS volumes,
// the node service mounts them for pods.
package csi

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	pkgcsi "github.com/weir-dev/weir/pkg/csi"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/gluster"
)

// Storages are the storages that volumes can be created on.
type Storages interface {
	// Get returns a storage, or an error that says why it cannot be used. gone is true if it does not exist.
	Get(id string) (s decide.Storage, gone bool, err error)
	// All returns all usable storages, ordered by id.
	All() []decide.Storage
}

// Controller is the controller service.
type Controller struct {
	csi.UnimplementedControllerServer
	Storages Storages
	Pool     *gluster.Pool
	Log      *slog.Logger
	// Timeout limits each call to a storage.
	Timeout time.Duration

	locks pkgcsi.Locks
}

// ControllerGetCapabilities returns the capabilities.
func (c *Controller) ControllerGetCapabilities(
	context.Context, *csi.ControllerGetCapabilitiesRequest,
) (*csi.ControllerGetCapabilitiesResponse, error) {
	response := &csi.ControllerGetCapabilitiesResponse{}
	for _, capability := range []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_LIST_VOLUMES,
		csi.ControllerServiceCapability_RPC_GET_CAPACITY,
		csi.ControllerServiceCapability_RPC_EXPAND_VOLUME,
		csi.ControllerServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	} {
		response.Capabilities = append(response.Capabilities, &csi.ControllerServiceCapability{
			Type: &csi.ControllerServiceCapability_Rpc{Rpc: &csi.ControllerServiceCapability_RPC{Type: capability}},
		})
	}
	return response, nil
}

// CreateVolume creates a directory, or assigns a whole GlusterFS volume.
func (c *Controller) CreateVolume(
	ctx context.Context, r *csi.CreateVolumeRequest,
) (*csi.CreateVolumeResponse, error) {
	if r.GetName() == "" {
		return nil, status.Error(codes.InvalidArgument, "name is missing")
	}
	if err := checkCapabilities(r.GetVolumeCapabilities()); err != nil {
		return nil, err
	}
	if r.GetVolumeContentSource() != nil {
		return nil, status.Error(codes.InvalidArgument, "volume_content_source: clones and snapshots are not supported")
	}
	size, err := decide.SizeOf(r.GetCapacityRange().GetRequiredBytes(), r.GetCapacityRange().GetLimitBytes())
	if err != nil {
		return nil, status.Error(codes.OutOfRange, err.Error())
	}
	s, err := c.storageOf(r.GetParameters())
	if err != nil {
		return nil, err
	}
	id := decide.VolumeID{Namespace: s.Namespace, Storage: s.Name}
	if s.Native {
		id.Directory = decide.DirectoryOf(r.GetName())
	}
	err = c.do(ctx, id, "CreateVolume", s, func(ctx context.Context, h *gluster.Hosted, t *gluster.Tree) error {
		h.Changes.Lock()
		defer h.Changes.Unlock()
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := compatible(h.Point, s); err != nil {
			return err
		}
		if !s.Native {
			size, err = assign(t, r.GetName(), size)
			return err
		}
		size, err = create(ctx, t, r.GetName(), size, r.GetCapacityRange().GetLimitBytes())
		return err
	})
	if err != nil {
		return nil, err
	}
	return &csi.CreateVolumeResponse{Volume: &csi.Volume{
		VolumeId: id.String(), CapacityBytes: size, VolumeContext: contextOf(s, id),
	}}, nil
}

// compatible refuses volumes on which the size of a directory cannot be limited. The check is repeated for each volume
// because an administrator can change a GlusterFS volume at any time.
func compatible(point string, s decide.Storage) error {
	client, err := gluster.Inspect(point)
	if err != nil {
		return err
	}
	if v := decide.Compatible(client.Graph, client.Version, s.Native); v.Problem != "" {
		return status.Error(codes.FailedPrecondition, v.Problem)
	}
	return nil
}

// create creates a directory unless it exists. It returns the size of the volume.
func create(ctx context.Context, t *gluster.Tree, name string, size, limit int64) (int64, error) {
	directory := decide.DirectoryOf(name)
	info, found, err := t.Info(directory)
	if err != nil {
		return 0, status.Errorf(codes.FailedPrecondition, "%v; restore or remove %s", err, decide.InfoPath(directory))
	}
	if found {
		if err := decide.SameVolume(info, name, size, limit); err != nil {
			return 0, status.Error(codes.AlreadyExists, err.Error())
		}
		return info.Size, t.Ensure(directory)
	}
	// A directory without metadata is the data of a volume whose reclaim policy was retain, or of another program.
	if exists, err := t.Exists(directory); err != nil {
		return 0, err
	} else if exists {
		return 0, status.Errorf(codes.AlreadyExists, "%s exists without metadata; move it to another place",
			decide.DataPath(directory))
	}
	capacity, _, err := t.Size()
	if err != nil {
		return 0, err
	}
	entries, _, err := t.List(ctx)
	if err != nil {
		return 0, err
	}
	if err := decide.Fits(capacity, provisioned(entries), size); err != nil {
		return 0, status.Error(codes.ResourceExhausted, err.Error())
	}
	return size, t.Create(directory, decide.NewInfo(name, size))
}

// assign makes the whole GlusterFS volume one persistent volume.
func assign(t *gluster.Tree, name string, size int64) (int64, error) {
	capacity, _, err := t.Size()
	if err != nil {
		return 0, err
	}
	info, taken, err := t.Owner()
	switch {
	case err != nil:
		return 0, status.Errorf(codes.FailedPrecondition, "%v; restore or remove %s", err, decide.OwnerFile)
	case taken && info.Name == name:
		return info.Size, nil
	case taken:
		return 0, status.Errorf(codes.ResourceExhausted,
			"the GlusterFS volume is already the persistent volume %q; with kadalu-format: false it has only one", info.Name)
	}
	if err := decide.Fits(capacity, 0, size); err != nil {
		return 0, status.Error(codes.ResourceExhausted, err.Error())
	}
	return capacity, t.SetOwner(decide.Info{Size: capacity, Name: name})
}

func provisioned(entries []gluster.Entry) (sum int64) {
	for _, e := range entries {
		sum += e.Size
	}
	return sum
}

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
	unique := uuid.NewString()
	err = c.do(ctx, id, "DeleteVolume", s, func(_ context.Context, h *gluster.Hosted, t *gluster.Tree) error {
		h.Changes.Lock()
		defer h.Changes.Unlock()
		switch {
		case id.Whole():
			return t.RemoveOwner()
		case s.Reclaim == kadaluv1alpha1.ReclaimArchive:
			return t.Archive(id.Directory, unique)
		case s.Reclaim == kadaluv1alpha1.ReclaimRetain:
			return t.Forget(id.Directory)
		}
		return t.MoveAside(id.Directory, unique)
	})
	if err != nil {
		return nil, err
	}
	if s.Reclaim == kadaluv1alpha1.ReclaimDelete && !id.Whole() {
		go c.emptyTrash(context.WithoutCancel(ctx), s)
	}
	return &csi.DeleteVolumeResponse{}, nil
}

// emptyTrash removes the data of deleted volumes. What it leaves after an error is removed by the next call.
func (c *Controller) emptyTrash(ctx context.Context, s decide.Storage) {
	unlock, err := c.locks.Lock("trash of "+s.ID(), "remove")
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

// ValidateVolumeCapabilities confirms capabilities that the driver supports.
func (c *Controller) ValidateVolumeCapabilities(
	ctx context.Context, r *csi.ValidateVolumeCapabilitiesRequest,
) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	if r.GetVolumeId() == "" || len(r.GetVolumeCapabilities()) == 0 {
		return nil, status.Error(codes.InvalidArgument, "volume_id and volume_capabilities must be set")
	}
	if _, _, err := c.find(ctx, r.GetVolumeId(), "ValidateVolumeCapabilities"); err != nil {
		return nil, err
	}
	if err := checkCapabilities(r.GetVolumeCapabilities()); err != nil {
		return &csi.ValidateVolumeCapabilitiesResponse{Message: status.Convert(err).Message()}, nil
	}
	return &csi.ValidateVolumeCapabilitiesResponse{
		Confirmed: &csi.ValidateVolumeCapabilitiesResponse_Confirmed{
			VolumeContext: r.GetVolumeContext(), VolumeCapabilities: r.GetVolumeCapabilities(), Parameters: r.GetParameters(),
		},
	}, nil
}

// find returns the size of a volume, or NotFound.
func (c *Controller) find(ctx context.Context, volumeID, operation string) (s decide.Storage, size int64, err error) {
	id, err := decide.ParseVolumeID(volumeID)
	if err != nil {
		return s, 0, status.Errorf(codes.NotFound, "volume_id %q: %v", volumeID, err)
	}
	s, gone, err := c.Storages.Get(id.StorageID())
	if gone {
		return s, 0, status.Errorf(codes.NotFound, "KadaluStorage %s does not exist", id.StorageID())
	}
	if err != nil {
		return s, 0, status.Error(codes.FailedPrecondition, err.Error())
	}
	err = c.do(ctx, id, operation, s, func(_ context.Context, _ *gluster.Hosted, t *gluster.Tree) error {
		info, found, err := lookup(t, id)
		if err == nil && !found {
			err = status.Errorf(codes.NotFound, "volume %q does not exist", volumeID)
		}
		size = info.Size
		return err
	})
	return s, size, err
}

func lookup(t *gluster.Tree, id decide.VolumeID) (decide.Info, bool, error) {
	if id.Whole() {
		return t.Owner()
	}
	return t.Info(id.Directory)
}

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
	s, current, err := c.find(ctx, r.GetVolumeId(), "ControllerExpandVolume")
	if err != nil {
		return nil, err
	}
	id, _ := decide.ParseVolumeID(r.GetVolumeId())
	if current >= size {
		return &csi.ControllerExpandVolumeResponse{CapacityBytes: current}, nil
	}
	err = c.do(ctx, id, "ControllerExpandVolume", s,
		func(ctx context.Context, h *gluster.Hosted, t *gluster.Tree) error {
			h.Changes.Lock()
			defer h.Changes.Unlock()
			if id.Whole() {
				return status.Errorf(codes.OutOfRange, "the volume is a whole GlusterFS volume of %d bytes; enlarge that", current)
			}
			info, found, err := t.Info(id.Directory)
			if err != nil || !found {
				return errors.Join(err, status.Errorf(codes.NotFound, "volume %q does not exist", r.GetVolumeId()))
			}
			capacity, _, err := t.Size()
			if err != nil {
				return err
			}
			entries, _, err := t.List(ctx)
			if err != nil {
				return err
			}
			if err := decide.Fits(capacity, provisioned(entries)-info.Size, size); err != nil {
				return status.Error(codes.OutOfRange, err.Error())
			}
			info.Size = max(info.Size, size)
			return t.SetInfo(id.Directory, info)
		})
	if err != nil {
		return nil, err
	}
	return &csi.ControllerExpandVolumeResponse{CapacityBytes: size}, nil
}
