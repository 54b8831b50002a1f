//go:build linux

package csi

import (
	"log/slog"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pkgcsi "github.com/weir-dev/weir/pkg/csi"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/gluster"
)

// invalid is a controller whose storage is never mounted: an invalid request ends before.
func invalid(t *testing.T) *Controller {
	t.Helper()
	return &Controller{
		Storages: fixed{storage("ext-storage", "r3", true), storage("whole", "d3", false)},
		Pool:     &gluster.Pool{Root: t.TempDir(), Logs: t.TempDir()}, Log: slog.New(slog.DiscardHandler),
		Timeout: time.Second, Locks: &pkgcsi.Locks{},
	}
}

func TestInvalidCreateRequestsAreRefusedWithTheFieldAndTheFix(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*csi.CreateVolumeRequest)
		code   codes.Code
		want   string
	}{
		"no name": {func(r *csi.CreateVolumeRequest) { r.Name = "" }, codes.InvalidArgument, "name is missing"},
		"no capability": {
			func(r *csi.CreateVolumeRequest) { r.VolumeCapabilities = nil }, codes.InvalidArgument,
			"volume_capabilities is missing",
		},
		"no storage": {
			func(r *csi.CreateVolumeRequest) { r.Parameters = nil }, codes.InvalidArgument,
			"parameter storage_name of the StorageClass is missing",
		},
		"an unknown storage": {
			func(r *csi.CreateVolumeRequest) { r.Parameters["storage_name"] = "other" }, codes.InvalidArgument,
			`storage_name "other" of the StorageClass matches 0 KadaluStorages`,
		},
		"a foreign namespace": {
			func(r *csi.CreateVolumeRequest) { r.Parameters["storage_namespace"] = "b" }, codes.InvalidArgument,
			"KadaluStorage b/ext-storage does not exist",
		},
		"an unknown parameter": {
			func(r *csi.CreateVolumeRequest) { r.Parameters["options"] = "volfile=/etc/shadow" }, codes.InvalidArgument,
			`parameter "options" of the StorageClass is not known`,
		},
		"a negative size": {
			func(r *csi.CreateVolumeRequest) { r.CapacityRange.RequiredBytes = -1 }, codes.OutOfRange, "must not be negative",
		},
		"a size above the limit": {
			func(r *csi.CreateVolumeRequest) { r.CapacityRange.LimitBytes = 1 }, codes.OutOfRange, "greater than limit_bytes 1",
		},
		"a block volume": {
			func(r *csi.CreateVolumeRequest) {
				r.VolumeCapabilities[0].AccessType = &csi.VolumeCapability_Block{Block: &csi.VolumeCapability_BlockVolume{}}
			}, codes.InvalidArgument, "use volumeMode: Filesystem",
		},
		"a forbidden mount option": {
			func(r *csi.CreateVolumeRequest) {
				r.VolumeCapabilities[0].GetMount().MountFlags = []string{"noatime", "suid"}
			}, codes.InvalidArgument, `mount option "suid" is not allowed`,
		},
		"an injected mount option": {
			func(r *csi.CreateVolumeRequest) {
				r.VolumeCapabilities[0].GetMount().MountFlags = []string{"ro,upperdir=/etc;reboot"}
			}, codes.InvalidArgument, `mount option "ro,upperdir=/etc;reboot" is not allowed`,
		},
		"another file system": {
			func(r *csi.CreateVolumeRequest) { r.VolumeCapabilities[0].GetMount().FsType = "ext4" }, codes.InvalidArgument,
			`fs_type "ext4" must be empty or glusterfs`,
		},
		"a snapshot of another storage": {
			func(r *csi.CreateVolumeRequest) { r.VolumeContentSource = fromSnapshot("default/whole/@sha256-0") },
			codes.InvalidArgument, "is not a snapshot of KadaluStorage default/ext-storage",
		},
		"a snapshot id with traversal": {
			func(r *csi.CreateVolumeRequest) { r.VolumeContentSource = fromSnapshot("default/ext-storage/@../../x") },
			codes.NotFound, "a snapshot id has the form",
		},
		"a copy as a whole volume": {
			func(r *csi.CreateVolumeRequest) {
				r.Parameters["storage_name"] = "whole"
				r.VolumeContentSource = fromSnapshot("default/whole/@sha256-0")
			}, codes.InvalidArgument, "a whole GlusterFS volume cannot be a copy",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := request("pvc-1", "ext-storage", 1<<20)
			c.change(r)
			_, err := invalid(t).CreateVolume(t.Context(), r)
			require.Equal(t, c.code, status.Code(err), err)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func fromSnapshot(id string) *csi.VolumeContentSource {
	return &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{
		Snapshot: &csi.VolumeContentSource_SnapshotSource{SnapshotId: id},
	}}
}

func TestInvalidSnapshotRequestsAreRefused(t *testing.T) {
	t.Parallel()
	c := invalid(t)
	for name, r := range map[string]struct {
		request *csi.CreateSnapshotRequest
		code    codes.Code
	}{
		"no name":   {&csi.CreateSnapshotRequest{SourceVolumeId: "default/ext-storage/pvc-1"}, codes.InvalidArgument},
		"no source": {&csi.CreateSnapshotRequest{Name: "a"}, codes.InvalidArgument},
		"a source with traversal": {
			&csi.CreateSnapshotRequest{Name: "a", SourceVolumeId: "default/ext-storage/../x"}, codes.NotFound,
		},
		"an unknown parameter": {&csi.CreateSnapshotRequest{
			Name: "a", SourceVolumeId: "default/ext-storage/pvc-1", Parameters: map[string]string{"path": "/etc"},
		}, codes.InvalidArgument},
	} {
		_, err := c.CreateSnapshot(t.Context(), r.request)
		require.Equal(t, r.code, status.Code(err), "%s: %v", name, err)
	}
	_, err := c.DeleteSnapshot(t.Context(), &csi.DeleteSnapshotRequest{SnapshotId: "default/ext-storage/@../x"})
	require.NoError(t, err, "no such snapshot exists")
	_, err = c.ListSnapshots(t.Context(), &csi.ListSnapshotsRequest{StartingToken: "x"})
	require.Equal(t, codes.Aborted, status.Code(err), err)
	_, err = c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: "default/ext-storage/../../etc"})
	require.NoError(t, err, "no such volume exists")
	_, err = c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: "default/gone/pvc-1"})
	require.Equal(t, codes.FailedPrecondition, status.Code(err), err)
}
