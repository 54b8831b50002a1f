//go:build linux

package csi

import (
	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// mountFlags are the mount options of a StorageClass or PersistentVolume that are applied to the bind mount of a pod.
var mountFlags = map[string]bool{
	"ro": true, "rw": true, "nosuid": true, "nodev": true, "noexec": true, "noatime": true, "nodiratime": true,
	"relatime": true,
}

// checkCapabilities returns InvalidArgument for what no volume supports.
func checkCapabilities(capabilities []*csi.VolumeCapability) error {
	if len(capabilities) == 0 {
		return status.Error(codes.InvalidArgument, "volume_capabilities is missing")
	}
	for _, c := range capabilities {
		if err := checkCapability(c); err != nil {
			return err
		}
	}
	return nil
}

func checkCapability(c *csi.VolumeCapability) error {
	switch {
	case c == nil:
		return status.Error(codes.InvalidArgument, "volume_capability is missing")
	case c.GetBlock() != nil:
		return status.Error(codes.InvalidArgument,
			"volume_capability: block volumes are not supported; use volumeMode: Filesystem")
	case c.GetMount() == nil:
		return status.Error(codes.InvalidArgument, "volume_capability: the access type is missing")
	case c.GetAccessMode().GetMode() == csi.VolumeCapability_AccessMode_UNKNOWN:
		return status.Error(codes.InvalidArgument, "volume_capability: the access mode is missing")
	}
	if fs := c.GetMount().GetFsType(); fs != "" && fs != "glusterfs" {
		return status.Errorf(codes.InvalidArgument, "volume_capability: fs_type %q must be empty or glusterfs", fs)
	}
	for _, option := range c.GetMount().GetMountFlags() {
		if !mountFlags[option] {
			return status.Errorf(codes.InvalidArgument, "mount option %q is not allowed; allowed are ro, rw, nosuid, nodev, "+
				"noexec, noatime, nodiratime and relatime. Options of the GlusterFS client belong into the KadaluStorage", option)
		}
	}
	return nil
}
