//go:build linux

package csi

import (
	"context"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/gluster"
)

// ListVolumes lists the volumes of all storages by id. A token is the id of the last volume of the previous page, so
// volumes that are created or deleted between two pages do not move the others. An unavailable storage is left out.
func (c *Controller) ListVolumes(ctx context.Context, r *csi.ListVolumesRequest) (*csi.ListVolumesResponse, error) {
	if r.GetMaxEntries() < 0 {
		return nil, status.Errorf(codes.InvalidArgument, "max_entries %d: must not be negative", r.GetMaxEntries())
	}
	after := r.GetStartingToken()
	if after != "" {
		if _, err := decide.ParseVolumeID(after); err != nil {
			return nil, status.Errorf(codes.Aborted, "starting_token %q: is not from an earlier response; start again", after)
		}
	}
	response := &csi.ListVolumesResponse{}
	for _, s := range c.Storages.All() {
		volumes, err := c.volumesOf(ctx, s)
		if err != nil {
			c.Log.Warn("the volumes of a storage are not listed", "storage", s.ID(), "error", err)
			continue
		}
		for _, v := range volumes {
			if v.GetVolumeId() <= after {
				continue
			}
			if n := len(response.Entries); r.GetMaxEntries() > 0 && n == int(r.GetMaxEntries()) {
				response.NextToken = response.Entries[n-1].GetVolume().GetVolumeId()
				return response, nil
			}
			response.Entries = append(response.Entries, &csi.ListVolumesResponse_Entry{Volume: v})
		}
	}
	return response, nil
}

func (c *Controller) volumesOf(ctx context.Context, s decide.Storage) ([]*csi.Volume, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	found := make(chan []*csi.Volume, 1)
	err := c.Pool.Of(s.Volume).Do(ctx, func(ctx context.Context, t *gluster.Tree) error {
		var volumes []*csi.Volume
		add := func(directory string, size int64) {
			id := decide.VolumeID{Namespace: s.Namespace, Storage: s.Name, Directory: directory}
			volumes = append(volumes, &csi.Volume{
				VolumeId: id.String(), CapacityBytes: size, VolumeContext: decide.Context(s, id),
			})
		}
		if !s.Native {
			info, taken, err := t.Owner()
			if taken {
				add("", info.Size)
			}
			found <- volumes
			return err
		}
		if err := t.Ledger.Load(ctx, t, false); err != nil {
			return err
		}
		entries, _ := t.Ledger.Entries()
		for _, e := range entries {
			if c.owned(s, e.Info) == nil {
				add(e.Directory, e.Size)
			}
		}
		found <- volumes
		return nil
	}, func() {})
	if err != nil {
		return nil, err
	}
	return <-found, nil
}

// ControllerGetVolume returns one volume.
func (c *Controller) ControllerGetVolume(
	ctx context.Context, r *csi.ControllerGetVolumeRequest,
) (*csi.ControllerGetVolumeResponse, error) {
	if r.GetVolumeId() == "" {
		return nil, status.Error(codes.InvalidArgument, "volume_id is missing")
	}
	s, id, info, err := c.find(ctx, r.GetVolumeId())
	if err != nil {
		return nil, err
	}
	return &csi.ControllerGetVolumeResponse{
		Volume: &csi.Volume{VolumeId: id.String(), CapacityBytes: info.Size, VolumeContext: decide.Context(s, id)},
		Status: &csi.ControllerGetVolumeResponse_VolumeStatus{},
	}, nil
}

// GetCapacity returns the space of a storage that is not provisioned yet.
func (c *Controller) GetCapacity(ctx context.Context, r *csi.GetCapacityRequest) (*csi.GetCapacityResponse, error) {
	if len(r.GetParameters()) == 0 {
		return &csi.GetCapacityResponse{}, nil
	}
	s, err := c.storageOf(r.GetParameters())
	if err != nil {
		return nil, err
	}
	probe := c.Pool.Of(s.Volume).Probe(ctx, c.Timeout, s.Native, false)
	if probe.Err != nil {
		return nil, statusOf("storage "+s.ID(), probe.Err)
	}
	available := decide.Free(probe.CapacityBytes, probe.ProvisionedBytes)
	if !s.Native && probe.Volumes > 0 {
		available = 0
	}
	return &csi.GetCapacityResponse{AvailableCapacity: available}, nil
}
