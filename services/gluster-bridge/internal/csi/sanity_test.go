//go:build linux

package csi

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/kubernetes-csi/csi-test/v5/pkg/sanity"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	pkgcsi "github.com/weir-dev/weir/pkg/csi"
	"github.com/weir-dev/weir/pkg/csi/csitest"
	testgluster "github.com/weir-dev/weir/pkg/testkit/gluster"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/gluster"
)

// fixed are storages that do not change.
type fixed []decide.Storage

func (f fixed) All() []decide.Storage { return f }

func (f fixed) Get(id string) (decide.Storage, bool, error) {
	for _, s := range f {
		if s.ID() == id {
			return s, false, nil
		}
	}
	return decide.Storage{}, true, nil
}

func storage(name, volume string, native bool) decide.Storage {
	return decide.Storage{
		Namespace: "default", Name: name, Native: native, Reclaim: kadaluv1alpha1.ReclaimDelete,
		Volume: decide.Mountable{
			// The first host does not exist: a dead host in the list does not matter.
			Hosts: []string{"127.1.1.9", testgluster.Host(1), testgluster.Host(2)}, Port: decide.DefaultPort, Name: volume,
			Options: []string{"log-level=WARNING"},
		},
	}
}

// driver serves both services of the driver.
func driver(t *testing.T, storages ...decide.Storage) (string, *Controller, *Node) {
	t.Helper()
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	pool := &gluster.Pool{Root: filepath.Join(dir, "mounts"), Logs: dir}
	nodePool := &gluster.Pool{Root: filepath.Join(dir, "node"), Logs: dir}
	controller := &Controller{
		Storages: fixed(storages), Pool: pool, Log: log, Timeout: time.Minute, Locks: &pkgcsi.Locks{},
	}
	node := &Node{Name: "node1", Pool: nodePool, Timeout: time.Minute}
	o := pkgcsi.Options{Socket: csitest.Socket(t), Log: log}
	csitest.Serve(t, o, func(r grpc.ServiceRegistrar) {
		csi.RegisterIdentityServer(r, &pkgcsi.Identity{
			Name: decide.Driver, Version: "test", Controller: true, Topology: true,
		})
		csi.RegisterControllerServer(r, controller)
		csi.RegisterNodeServer(r, node)
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- controller.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		pool.UnmountAll()
		nodePool.UnmountAll()
	})
	return o.Socket, controller, node
}

// TestDriverOnGlusterFS shares one cluster, whose start takes most of the time.
func TestDriverOnGlusterFS(t *testing.T) {
	if testing.Short() {
		t.Skip("short mode: the test starts a GlusterFS cluster")
	}
	cluster := testgluster.New(t)
	cluster.Volume("r3", "replica", "3")
	cluster.Volume("d3")

	t.Run("CSISanityHasNoFailure", func(t *testing.T) {
		socket, _, _ := driver(t, storage("ext-storage", "r3", true))
		csitest.Sanity(t, socket, map[string]string{decide.ParameterStorage: "ext-storage"},
			func(c *sanity.TestConfig) {
				c.TestVolumeSize, c.TestVolumeExpandSize = 10<<20, 20<<20
			})
	})
	t.Run("AVolumeIsSharedByTwoNodes", func(t *testing.T) { sharedVolume(t) })
	t.Run("SnapshotsAndClonesAreCopies", func(t *testing.T) { snapshots(t) })
	t.Run("ACopyThatWasStoppedIsContinued", func(t *testing.T) { resumed(t) })
	t.Run("ConcurrentCreatesDoNotOvercommit", func(t *testing.T) { overcommit(t) })
	t.Run("ADistributedVolumeIsRefusedUnlessItIsOneVolume", func(t *testing.T) { distributed(t) })
	t.Run("AnUnavailableStorageDoesNotDelayAnother", func(t *testing.T) { unavailable(t) })
	t.Run("AStoppedVolumeIsNamedAndUsableAfterItsStart", func(t *testing.T) { stopped(t, cluster) })
	t.Run("EachBrickIsAskedForTheLimit", func(t *testing.T) { eachBrick(t, cluster) })
	t.Run("AFullVolumeIsRefusedAndLeavesNothing", func(t *testing.T) { full(t) })
}

func mount(mode csi.VolumeCapability_AccessMode_Mode) *csi.VolumeCapability {
	return &csi.VolumeCapability{
		AccessMode: &csi.VolumeCapability_AccessMode{Mode: mode},
		AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
	}
}

const writers = csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER

func request(name, storage string, size int64) *csi.CreateVolumeRequest {
	return &csi.CreateVolumeRequest{
		Name: name, Parameters: map[string]string{decide.ParameterStorage: storage},
		CapacityRange:      &csi.CapacityRange{RequiredBytes: size},
		VolumeCapabilities: []*csi.VolumeCapability{mount(writers)},
	}
}

func publish(t *testing.T, n *Node, v *csi.Volume, dir string, readonly bool) string {
	t.Helper()
	staging, target := filepath.Join(dir, "staging"), filepath.Join(dir, "target")
	_, err := n.NodeStageVolume(t.Context(), &csi.NodeStageVolumeRequest{
		VolumeId: v.GetVolumeId(), StagingTargetPath: staging, VolumeCapability: mount(writers),
		VolumeContext: v.GetVolumeContext(),
	})
	require.NoError(t, err)
	_, err = n.NodePublishVolume(t.Context(), &csi.NodePublishVolumeRequest{
		VolumeId: v.GetVolumeId(), StagingTargetPath: staging, TargetPath: target, VolumeCapability: mount(writers),
		VolumeContext: v.GetVolumeContext(), Readonly: readonly,
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_, err := n.NodeUnpublishVolume(ctx, &csi.NodeUnpublishVolumeRequest{VolumeId: v.GetVolumeId(), TargetPath: target})
		require.NoError(t, err)
		_, err = n.NodeUnstageVolume(ctx, &csi.NodeUnstageVolumeRequest{
			VolumeId: v.GetVolumeId(), StagingTargetPath: staging,
		})
		require.NoError(t, err)
	})
	return target
}

func sharedVolume(t *testing.T) {
	_, c, first := driver(t, storage("ext-storage", "r3", true))
	_, _, second := driver(t)
	created, err := c.CreateVolume(t.Context(), request("../../etc/passwd", "ext-storage", 10<<20))
	require.NoError(t, err, "a name with traversal is only a name")
	v := created.GetVolume()
	require.NotContains(t, v.GetVolumeContext()["path"], "..")

	one, two := publish(t, first, v, t.TempDir(), false), publish(t, second, v, t.TempDir(), true)
	require.NoError(t, os.WriteFile(filepath.Join(one, "file"), []byte("hello"), 0o644))
	data, err := os.ReadFile(filepath.Join(two, "file"))
	require.NoError(t, err)
	require.Equal(t, "hello", string(data), "a file from one node is read on another")
	require.Error(t, os.WriteFile(filepath.Join(two, "file"), []byte("x"), 0o644), "the second target is read-only")

	for name, test := range map[string]struct {
		mode  csi.VolumeCapability_AccessMode_Mode
		flags []string
		want  []string
		code  codes.Code
	}{
		"mount options":        {writers, []string{"noatime", "nodev"}, []string{"rw", "noatime", "nodev"}, codes.OK},
		"readers on all nodes": {csi.VolumeCapability_AccessMode_MULTI_NODE_READER_ONLY, nil, []string{"ro"}, codes.OK},
		"one writer in the cluster, beside another pod": {
			csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER, nil, nil, codes.FailedPrecondition,
		},
		"an option that is not allowed": {writers, []string{"suid"}, nil, codes.InvalidArgument},
	} {
		capability := mount(test.mode)
		capability.GetMount().MountFlags = test.flags
		target := filepath.Join(t.TempDir(), "target")
		_, err := first.NodePublishVolume(t.Context(), &csi.NodePublishVolumeRequest{
			VolumeId: v.GetVolumeId(), StagingTargetPath: filepath.Join(filepath.Dir(one), "staging"), TargetPath: target,
			VolumeCapability: capability, VolumeContext: v.GetVolumeContext(),
		})
		require.Equal(t, test.code, status.Code(err), "%s: %v", name, err)
		if err == nil {
			published, err := mountAt(target)
			require.NoError(t, err)
			require.Subset(t, published.Options, test.want, name)
			require.NoError(t, gluster.Unmount(target))
		}
	}

	again, err := c.CreateVolume(t.Context(), request("../../etc/passwd", "ext-storage", 10<<20))
	require.NoError(t, err)
	require.Equal(t, v.GetVolumeId(), again.GetVolume().GetVolumeId())
	_, err = c.CreateVolume(t.Context(), request("../../etc/passwd", "ext-storage", 20<<20))
	require.Equal(t, codes.AlreadyExists, status.Code(err), err)

	broken := map[string]string{}
	for key, value := range v.GetVolumeContext() {
		broken[key] = value
	}
	broken["gluster_options"] = "log-level=DEBUG,volfile=/etc/shadow"
	_, err = first.NodeStageVolume(t.Context(), &csi.NodeStageVolumeRequest{
		VolumeId: v.GetVolumeId(), StagingTargetPath: t.TempDir(), VolumeCapability: mount(writers), VolumeContext: broken,
	})
	require.Equal(t, codes.InvalidArgument, status.Code(err), err)
}

func overcommit(t *testing.T) {
	_, c, _ := driver(t, storage("ext-storage", "r3", true))
	parameters := map[string]string{decide.ParameterStorage: "ext-storage"}
	before, err := c.GetCapacity(t.Context(), &csi.GetCapacityRequest{Parameters: parameters})
	require.NoError(t, err)
	const calls, fit = 100, 10
	size := before.GetAvailableCapacity() / fit
	var mu sync.Mutex
	results := map[codes.Code]int{}
	var running sync.WaitGroup
	for i := range calls {
		running.Go(func() {
			_, err := c.CreateVolume(t.Context(), request(fmt.Sprintf("pvc-%d", i), "ext-storage", size))
			mu.Lock()
			results[status.Code(err)]++
			mu.Unlock()
		})
	}
	running.Wait()
	t.Logf("%d concurrent creates at the edge of capacity: %v", calls, results)
	require.Equal(t, map[codes.Code]int{codes.OK: fit, codes.ResourceExhausted: calls - fit}, results)
	listed, err := c.ListVolumes(t.Context(), &csi.ListVolumesRequest{})
	require.NoError(t, err)
	for _, e := range listed.GetEntries() {
		_, err := c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: e.GetVolume().GetVolumeId()})
		require.NoError(t, err)
	}
}

func distributed(t *testing.T) {
	_, c, n := driver(t, storage("native", "d3", true), storage("whole", "d3", false))
	_, err := c.CreateVolume(t.Context(), request("pvc-1", "native", 1<<20))
	require.Equal(t, codes.FailedPrecondition, status.Code(err), err)
	require.ErrorContains(t, err, "distributed over 3 subvolumes")
	// A PersistentVolume of kadalu that was adopted has no metadata on the volume.
	c.Claimed = func(storageID string) bool { return storageID == "default/whole" }
	_, err = c.CreateVolume(t.Context(), request("pvc-1", "whole", 1<<20))
	require.Equal(t, codes.ResourceExhausted, status.Code(err), err)
	c.Claimed = nil
	first, err := c.CreateVolume(t.Context(), request("pvc-1", "whole", 1<<20))
	require.NoError(t, err)
	_, err = c.CreateVolume(t.Context(), request("pvc-2", "whole", 1<<20))
	require.Equal(t, codes.ResourceExhausted, status.Code(err), err)
	target := publish(t, n, first.GetVolume(), t.TempDir(), false)
	require.NoError(t, os.WriteFile(filepath.Join(target, "file"), nil, 0o644))
}
