//go:build linux

package csi

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pkgcsi "github.com/weir-dev/weir/pkg/csi"
	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/gluster"
)

// Node is the node service. All volumes of a storage share one client per node.
type Node struct {
	csi.UnimplementedNodeServer
	// Name of the node.
	Name string
	Pool *gluster.Pool
	// Timeout limits each call to a storage.
	Timeout time.Duration

	locks pkgcsi.Locks
}

// NodeGetInfo returns the name of the node and its topology. All nodes with the driver can use all volumes, so they
// have the same one. external-provisioner deletes the CSIStorageCapacity of a driver without a topology, and the
// scheduler then finds no node for a claim with WaitForFirstConsumer.
func (n *Node) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: n.Name, AccessibleTopology: &csi.Topology{
		Segments: map[string]string{decide.TopologyKey: "true"},
	}}, nil
}

// NodeGetCapabilities returns the capabilities.
func (n *Node) NodeGetCapabilities(
	context.Context, *csi.NodeGetCapabilitiesRequest,
) (*csi.NodeGetCapabilitiesResponse, error) {
	response := &csi.NodeGetCapabilitiesResponse{}
	for _, capability := range []csi.NodeServiceCapability_RPC_Type{
		csi.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME,
		csi.NodeServiceCapability_RPC_GET_VOLUME_STATS,
		csi.NodeServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	} {
		response.Capabilities = append(response.Capabilities, &csi.NodeServiceCapability{
			Type: &csi.NodeServiceCapability_Rpc{Rpc: &csi.NodeServiceCapability_RPC{Type: capability}},
		})
	}
	return response, nil
}

// NodeStageVolume binds the directory of the volume to the staging path.
func (n *Node) NodeStageVolume(
	ctx context.Context, r *csi.NodeStageVolumeRequest,
) (*csi.NodeStageVolumeResponse, error) {
	if err := checkTarget(r.GetVolumeId(), "staging_target_path", r.GetStagingTargetPath()); err != nil {
		return nil, err
	}
	if err := checkCapability(r.GetVolumeCapability()); err != nil {
		return nil, err
	}
	id, volume, err := volumeOf(r.GetVolumeId(), r.GetVolumeContext())
	if err != nil {
		return nil, err
	}
	unlock, err := n.locks.Lock(r.GetVolumeId(), "NodeStageVolume")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, n.Timeout)
	defer cancel()
	if err := n.stage(ctx, id, volume, r.GetStagingTargetPath(), unlock); err != nil {
		return nil, err
	}
	return &csi.NodeStageVolumeResponse{}, nil
}

// stage binds the directory of a volume to its staging path. It calls unlock when everything that it started has ended.
func (n *Node) stage(
	ctx context.Context, id decide.VolumeID, volume decide.Mountable, target string, unlock func(),
) error {
	h := n.Pool.Of(volume)
	err := h.Do(ctx, func(ctx context.Context, t *gluster.Tree) error {
		source := h.Point
		if !id.Whole() {
			if exists, err := t.Exists(id.Directory); err != nil {
				return err
			} else if !exists {
				return status.Errorf(codes.NotFound, "%s does not exist on volume %s", decide.DataPath(id.Directory), volume.Name)
			}
			source = filepath.Join(h.Point, decide.DataPath(id.Directory))
		}
		return bind(ctx, h, source, target, nil)
	}, unlock)
	return statusOf("volume "+volume.Name, err)
}

// NodeUnstageVolume removes the mount of the staging path.
func (n *Node) NodeUnstageVolume(
	_ context.Context, r *csi.NodeUnstageVolumeRequest,
) (*csi.NodeUnstageVolumeResponse, error) {
	if err := checkTarget(r.GetVolumeId(), "staging_target_path", r.GetStagingTargetPath()); err != nil {
		return nil, err
	}
	unlock, err := n.locks.Lock(r.GetVolumeId(), "NodeUnstageVolume")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := gluster.Unbind(r.GetStagingTargetPath()); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodeUnstageVolumeResponse{}, nil
}

// NodePublishVolume binds the staged volume to the path of a pod.
func (n *Node) NodePublishVolume(
	ctx context.Context, r *csi.NodePublishVolumeRequest,
) (*csi.NodePublishVolumeResponse, error) {
	if err := checkTarget(r.GetVolumeId(), "target_path", r.GetTargetPath()); err != nil {
		return nil, err
	}
	if err := checkCapability(r.GetVolumeCapability()); err != nil {
		return nil, err
	}
	if r.GetStagingTargetPath() == "" {
		return nil, status.Error(codes.FailedPrecondition, "staging_target_path is missing")
	}
	id, volume, err := volumeOf(r.GetVolumeId(), r.GetVolumeContext())
	if err != nil {
		return nil, err
	}
	unlock, err := n.locks.Lock(r.GetVolumeId()+" at "+r.GetTargetPath(), "NodePublishVolume")
	if err != nil {
		return nil, err
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(ctx, n.Timeout)
	defer cancel()
	mount, err := n.staged(ctx, id, volume, r.GetStagingTargetPath())
	if err != nil {
		return nil, err
	}
	h := n.Pool.Of(volume)
	if r.GetVolumeCapability().GetAccessMode().GetMode() == csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER {
		// The mount of the whole GlusterFS volume and the staging path are not targets.
		own := []string{h.Point, r.GetStagingTargetPath(), r.GetTargetPath()}
		if err := checkOnlyTarget(*mount, own); err != nil {
			return nil, err
		}
	}
	options := r.GetVolumeCapability().GetMount().GetMountFlags()
	if r.GetReadonly() || readOnly(r.GetVolumeCapability().GetAccessMode().GetMode()) {
		options = append(options, "ro")
	}
	if err := bind(ctx, h, r.GetStagingTargetPath(), r.GetTargetPath(), options); err != nil {
		return nil, statusOf("volume", err)
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

// staged returns the mount at the staging path. kubelet stages a volume once: if the mount was lost, for example after
// a restart of the node, or if its client has ended, it is made again.
func (n *Node) staged(
	ctx context.Context, id decide.VolumeID, volume decide.Mountable, staging string,
) (*node.Mount, error) {
	mount, err := mountAt(staging)
	if err != nil {
		return nil, statusOf("volume", err)
	}
	h := n.Pool.Of(volume)
	if mount != nil {
		if current, err := h.Serves(*mount); err != nil {
			return nil, statusOf("volume", err)
		} else if current && h.Mount(ctx) == nil {
			if current, err = h.Serves(*mount); current && err == nil {
				return mount, nil
			}
		}
	}
	unlock, err := n.locks.Lock(id.String(), "NodeStageVolume")
	if err != nil {
		return nil, err
	}
	if err := n.stage(ctx, id, volume, staging, unlock); err != nil {
		return nil, err
	}
	if mount, err = mountAt(staging); err == nil && mount == nil {
		err = status.Errorf(codes.Unavailable, "%s is not mounted any more; try again", staging)
	}
	return mount, statusOf("volume", err)
}

// checkOnlyTarget returns an error if the directory of a staged volume is mounted anywhere except at the given points.
func checkOnlyTarget(staged node.Mount, points []string) error {
	mounts, err := node.Mounts()
	if err != nil {
		return statusOf("volume", err)
	}
	for _, m := range mounts {
		if m.Device == staged.Device && m.Root == staged.Root && !slices.Contains(points, m.Point) {
			return status.Errorf(codes.FailedPrecondition,
				"access mode SINGLE_NODE_SINGLE_WRITER: the volume is already mounted at %s", m.Point)
		}
	}
	return nil
}

// readOnly reports whether an access mode allows no writer.
func readOnly(mode csi.VolumeCapability_AccessMode_Mode) bool {
	return mode == csi.VolumeCapability_AccessMode_SINGLE_NODE_READER_ONLY ||
		mode == csi.VolumeCapability_AccessMode_MULTI_NODE_READER_ONLY
}

// NodeUnpublishVolume removes the mount and the path of a pod.
func (n *Node) NodeUnpublishVolume(
	_ context.Context, r *csi.NodeUnpublishVolumeRequest,
) (*csi.NodeUnpublishVolumeResponse, error) {
	if err := checkTarget(r.GetVolumeId(), "target_path", r.GetTargetPath()); err != nil {
		return nil, err
	}
	unlock, err := n.locks.Lock(r.GetVolumeId()+" at "+r.GetTargetPath(), "NodeUnpublishVolume")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := gluster.Unmount(r.GetTargetPath()); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

// NodeGetVolumeStats returns the space and the inodes of a mounted volume.
func (n *Node) NodeGetVolumeStats(
	ctx context.Context, r *csi.NodeGetVolumeStatsRequest,
) (*csi.NodeGetVolumeStatsResponse, error) {
	switch {
	case r.GetVolumeId() == "":
		return nil, status.Error(codes.InvalidArgument, "volume_id is missing")
	case r.GetVolumePath() == "":
		return nil, status.Error(codes.InvalidArgument, "volume_path is missing")
	}
	mount, err := mountAt(r.GetVolumePath())
	if err != nil {
		return nil, statusOf("volume", err)
	}
	if mount == nil {
		return nil, status.Errorf(codes.NotFound, "volume_path %q is not mounted", r.GetVolumePath())
	}
	ctx, cancel := context.WithTimeout(ctx, n.Timeout)
	defer cancel()
	s, err := gluster.Statfs(ctx, r.GetVolumePath())
	if err != nil {
		return nil, statusOf("volume", err)
	}
	return &csi.NodeGetVolumeStatsResponse{Usage: []*csi.VolumeUsage{
		{
			Unit: csi.VolumeUsage_BYTES, Total: int64(s.Blocks) * s.Bsize,
			Available: int64(s.Bavail) * s.Bsize, Used: int64(s.Blocks-s.Bfree) * s.Bsize,
		},
		{
			Unit: csi.VolumeUsage_INODES, Total: int64(s.Files), Available: int64(s.Ffree), Used: int64(s.Files - s.Ffree),
		},
	}}, nil
}

func checkTarget(id, field, target string) error {
	switch {
	case id == "":
		return status.Error(codes.InvalidArgument, "volume_id is missing")
	case target == "":
		return status.Errorf(codes.InvalidArgument, "%s is missing", field)
	case !filepath.IsAbs(target) || filepath.Clean(target) != target || target == "/":
		return status.Errorf(codes.InvalidArgument, "%s %q: must be an absolute path without . and ..", field, target)
	}
	return nil
}

// volumeOf returns what to mount. The context of a PersistentVolume can be written by hand, so it is checked like the
// spec of a KadaluStorage, and the path must be that of the volume id.
func volumeOf(volumeID string, values map[string]string) (decide.VolumeID, decide.Mountable, error) {
	var m decide.Mountable
	id, err := decide.ParseVolumeID(volumeID)
	if err != nil {
		return id, m, status.Errorf(codes.NotFound, "volume_id %q: %v", volumeID, err)
	}
	want := ""
	if !id.Whole() {
		want = decide.DataPath(id.Directory)
	}
	if values[decide.ContextPath] != want {
		return id, m, status.Errorf(codes.InvalidArgument, "volume_context path %q: must be %q for volume_id %q",
			values[decide.ContextPath], want, volumeID)
	}
	m.Name = values[decide.ContextVolume]
	m.Hosts = split(values[decide.ContextHosts])
	m.Options = split(values[decide.ContextOptions])
	if port := values[decide.ContextPort]; port != "" {
		n, err := strconv.ParseInt(port, 10, 32)
		if err != nil {
			return id, m, status.Errorf(codes.InvalidArgument, "volume_context %s %q: must be a number",
				decide.ContextPort, port)
		}
		m.Port = int32(n)
	}
	m, findings := m.Check()
	if len(findings) > 0 {
		return id, m, status.Errorf(codes.InvalidArgument, "volume_context %v", findings[0])
	}
	return id, m, nil
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// mountAt returns the top mount of a path, or nil.
func mountAt(point string) (*node.Mount, error) {
	mounts, err := node.Mounts()
	if err != nil {
		return nil, err
	}
	for i := len(mounts) - 1; i >= 0; i-- {
		if mounts[i].Point == point {
			return &mounts[i], nil
		}
	}
	return nil, nil //nolint:nilnil // no mount is not an error
}

// bind binds source, which is on the volume h, to target with the given mount options. It does nothing if target has a
// mount of the current client, or of an earlier one that still serves it.
func bind(ctx context.Context, h *gluster.Hosted, source, target string, options []string) error {
	mount, err := mountAt(target)
	if err != nil {
		return err
	}
	if mount != nil {
		if current, err := h.Serves(*mount); err != nil || current {
			return err
		}
		err := gluster.Alive(ctx, target)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.ENOTCONN) && !errors.Is(err, unix.ECONNABORTED) {
			return err
		}
		if err := gluster.Unbind(target); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(target, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return gluster.Bind(source, target, options)
}
