//go:build linux

// Package csi has the CSI services of gluster-bridge: the controller service creates directories on GlusterFS volumes,
// the node service mounts them for pods.
package csi

import (
	"context"
	"log/slog"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
	// Timeout limits each call to a storage, and each wait for its quotad.
	Timeout time.Duration
	// Locks are held by the calls that are running.
	Locks *pkgcsi.Locks
	// Limits are the limits that quotad sets; optional.
	Limits Limits
	// Claimed reports whether a PersistentVolume exists that is a whole GlusterFS volume; optional.
	Claimed func(storageID string) bool
	// Loaded receives a value when a storage can be used for the first time; optional.
	Loaded <-chan struct{}

	copies copies
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
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT,
		csi.ControllerServiceCapability_RPC_LIST_SNAPSHOTS,
		csi.ControllerServiceCapability_RPC_CLONE_VOLUME,
		csi.ControllerServiceCapability_RPC_GET_VOLUME,
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
	size, err := decide.SizeOf(r.GetCapacityRange().GetRequiredBytes(), r.GetCapacityRange().GetLimitBytes())
	if err != nil {
		return nil, status.Error(codes.OutOfRange, err.Error())
	}
	s, err := c.storageOf(r.GetParameters())
	if err != nil {
		return nil, err
	}
	from, err := c.originOf(ctx, s, r.GetVolumeContentSource())
	if err != nil {
		return nil, err
	}
	if from.size > size {
		if r.GetCapacityRange().GetRequiredBytes() > 0 || r.GetCapacityRange().GetLimitBytes() > 0 {
			return nil, status.Errorf(codes.OutOfRange,
				"capacity_range: the source has %d bytes; request at least that", from.size)
		}
		size = from.size
	}
	id := decide.VolumeID{Namespace: s.Namespace, Storage: s.Name}
	if s.Native {
		id.Directory = decide.DirectoryOf(r.GetName())
	}
	held, err := c.lock(id, "CreateVolume")
	if err != nil {
		return nil, err
	}
	defer held.release()
	info, graph, err := c.make(ctx, held, s, id, want{
		name: r.GetName(), size: size, limit: r.GetCapacityRange().GetLimitBytes(), source: from.source,
	})
	if err != nil {
		return nil, err
	}
	if s.Native {
		if err := c.enforce(ctx, s, id, info, graph); err != nil {
			return nil, err
		}
	}
	// The data last: its copy is limited like every other write.
	if info.Copying {
		if err := c.waitForCopy(ctx, s, id); err != nil {
			return nil, err
		}
	}
	return &csi.CreateVolumeResponse{Volume: &csi.Volume{
		VolumeId: id.String(), CapacityBytes: info.Size, VolumeContext: decide.Context(s, id),
		ContentSource: r.GetVolumeContentSource(),
	}}, nil
}

// ValidateVolumeCapabilities confirms capabilities that the driver supports.
func (c *Controller) ValidateVolumeCapabilities(
	ctx context.Context, r *csi.ValidateVolumeCapabilitiesRequest,
) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	if r.GetVolumeId() == "" || len(r.GetVolumeCapabilities()) == 0 {
		return nil, status.Error(codes.InvalidArgument, "volume_id and volume_capabilities must be set")
	}
	if _, _, _, err := c.find(ctx, r.GetVolumeId()); err != nil {
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

// find returns the metadata of a volume, or NotFound.
func (c *Controller) find(
	ctx context.Context, volumeID string,
) (s decide.Storage, id decide.VolumeID, found decide.Info, err error) {
	id, err = decide.ParseVolumeID(volumeID)
	if err != nil {
		return s, id, found, status.Errorf(codes.NotFound, "volume_id %q: %v", volumeID, err)
	}
	s, gone, err := c.Storages.Get(id.StorageID())
	if gone {
		return s, id, found, status.Errorf(codes.NotFound, "KadaluStorage %s does not exist", id.StorageID())
	}
	if err != nil {
		return s, id, found, status.Error(codes.FailedPrecondition, err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	read := make(chan decide.Info, 1)
	err = c.Pool.Of(s.Volume).Do(ctx, func(_ context.Context, t *gluster.Tree) error {
		info, found, err := lookup(t, id)
		if err == nil && !found {
			err = status.Errorf(codes.NotFound, "volume %q does not exist", volumeID)
		}
		read <- info
		return err
	}, func() {})
	if err != nil {
		return s, id, found, statusOf("storage "+s.ID(), err)
	}
	return s, id, <-read, nil
}

func lookup(t *gluster.Tree, id decide.VolumeID) (decide.Info, bool, error) {
	if id.Whole() {
		return t.Owner()
	}
	return t.Info(id.Directory)
}
