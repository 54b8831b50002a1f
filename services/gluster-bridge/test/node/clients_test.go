//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/gluster-bridge/test/testenv"
)

// bricksDown: statfs and most other calls fail with ENOTCONN, as they do when the client has ended.
func bricksDown(t *testing.T, e *env) {
	w := e.worker(t)
	v := e.volume(t, "pvc-bricks")
	w.stage(v)
	target := w.publish(v, "writer", false)
	file, err := os.Create(filepath.Join(target, "open"))
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	key, device := w.client()
	t.Cleanup(func() { e.Cluster.StartBricks(testenv.Volume) })
	for server := 1; server <= 3; server++ {
		e.Cluster.StopBrick(server, testenv.Volume)
	}
	testkit.Eventually(t, timeout, func(context.Context) error {
		if _, err := os.ReadDir(target); err == nil {
			return fmt.Errorf("%s still works", target)
		}
		return nil
	})
	// Some probes of the client, and a call of kubelet.
	probes := time.NewTimer(3 * time.Second)
	<-probes.C
	_, err = w.NodePublishVolume(t.Context(), w.request(v, "writer", false))
	require.Equal(t, codes.Unavailable, status.Code(err), err)
	require.ErrorContains(t, err, "its bricks are not reachable")
	_, now := w.client()
	require.Equal(t, device, now, "the client is not replaced")
	require.Contains(t, w.metrics(), `weir_gluster_client_up{client="`+key+`"} 0`)
	w.noted("GlusterVolumeUnavailable", "its bricks are not reachable")
	e.Cluster.StartBricks(testenv.Volume)
	testkit.Eventually(t, timeout, func(context.Context) error {
		// The first one may return the error of a write before.
		_, err := file.WriteAt([]byte("data"), 0)
		return errors.Join(err, file.Sync())
	})
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		_, err := w.NodePublishVolume(ctx, w.request(v, "writer", false))
		return err
	})
	_, now = w.client()
	require.Equal(t, device, now, "the client is not replaced")
	require.NotContains(t, w.metrics(), "weir_gluster_client_failures_total{")
	w.noted("GlusterVolumeAvailable", "Pods on this node can use volume "+testenv.Volume)
}

func unused(t *testing.T, e *env) {
	w := e.worker(t, "--unused-timeout=1s", "--probe-interval=100ms")
	v := e.volume(t, "pvc-unused")
	w.stage(v)
	target := w.publish(v, "writer", false)
	rest := time.NewTimer(3 * time.Second)
	<-rest.C
	require.Len(t, clientsOf(w.mounts), 1, "it has mounts")
	_, err := w.NodeUnpublishVolume(t.Context(), &csi.NodeUnpublishVolumeRequest{
		VolumeId: v.GetVolumeId(), TargetPath: target,
	})
	require.NoError(t, err)
	_, err = w.NodeUnstageVolume(t.Context(), &csi.NodeUnstageVolumeRequest{
		VolumeId: v.GetVolumeId(), StagingTargetPath: w.staging(v),
	})
	require.NoError(t, err)
	testkit.Eventually(t, timeout, func(context.Context) error {
		if left := clientsOf(w.mounts); len(left) > 0 {
			return fmt.Errorf("%d clients are left", len(left))
		}
		entries, err := os.ReadDir(w.mounts)
		if err == nil && len(entries) > 0 {
			err = fmt.Errorf("%s is left", entries[0].Name())
		}
		return err
	})
	w.stage(v)
	w.publish(v, "writer", false)
}

// uninstalled: the processes of a node end in any order, and nothing of the volumes stays on the node.
func uninstalled(t *testing.T, e *env) {
	for name, first := range map[string]func(*worker) error{
		"the node process ends first": func(w *worker) error {
			return errors.Join(w.node.Terminate(), w.clients.Terminate())
		},
		"the clients end first": func(w *worker) error {
			err := w.clients.Terminate()
			w.killClients()
			return errors.Join(err, w.node.Terminate())
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := e.worker(t)
			v := e.volume(t, "pvc-uninstalled")
			w.stage(v)
			_, device := w.client()
			require.NoError(t, w.node.Terminate())
			require.NoError(t, w.node.Start())
			w.ready()
			_, now := w.client()
			require.Equal(t, device, now, "it has a mount")
			_, err := w.NodeUnstageVolume(t.Context(), &csi.NodeUnstageVolumeRequest{
				VolumeId: v.GetVolumeId(), StagingTargetPath: w.staging(v),
			})
			require.NoError(t, err)
			require.NoError(t, first(w))
			testkit.Eventually(t, timeout, func(context.Context) error {
				if left := clientsOf(w.mounts); len(left) > 0 {
					return fmt.Errorf("%d clients are left", len(left))
				}
				return nil
			})
			mounts, err := node.Mounts()
			require.NoError(t, err)
			for _, m := range mounts {
				require.False(t, strings.HasPrefix(m.Point, w.dir+"/"), m.Point)
			}
			entries, err := os.ReadDir(w.mounts)
			require.NoError(t, err)
			require.Empty(t, entries)
		})
	}
}

const idlePeriod = 10 * time.Second

func idle(t *testing.T, e *env) {
	w := e.worker(t)
	v := e.volume(t, "pvc-idle")
	w.stage(v)
	const targets = 100
	for i := range targets {
		w.publish(v, "pod-"+strconv.Itoa(i), false)
	}
	pids := append([]int{w.node.PID(), w.clients.PID()}, clientsOf(w.mounts)...)
	require.Len(t, pids, 3)
	before := make([]time.Duration, len(pids))
	for i, pid := range pids {
		before[i] = cpu(t, pid)
	}
	timer := time.NewTimer(idlePeriod)
	<-timer.C
	shares := make([]float64, len(pids))
	for i, pid := range pids {
		shares[i] = 100 * (cpu(t, pid) - before[i]).Seconds() / idlePeriod.Seconds()
	}
	t.Logf("idle with %d targets: node process %.1f %%, process of the clients %.1f %%, client %.1f %% of a CPU", targets,
		shares[0], shares[1], shares[2])
	const limit = 2
	require.Less(t, shares[0], float64(limit))
	require.Less(t, shares[1], float64(limit))
}

// cpu returns the CPU time of a process.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	require.True(t, found && len(fields) > 12)
	ticks := int64(0)
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		require.NoError(t, err)
		ticks += n
	}
	// USER_HZ is 100 on all architectures that Go supports.
	return time.Duration(ticks) * 10 * time.Millisecond
}

func noClients(t *testing.T, e *env) {
	w := e.worker(t)
	v := e.volume(t, "pvc-no-clients")
	w.clients.Kill()
	_, err := w.NodeStageVolume(t.Context(), &csi.NodeStageVolumeRequest{
		VolumeId: v.GetVolumeId(), StagingTargetPath: w.staging(v), VolumeCapability: capability(),
		VolumeContext: v.GetVolumeContext(),
	})
	require.Equal(t, codes.Unavailable, status.Code(err), err)
	require.ErrorContains(t, err, "check the DaemonSet gluster-bridge-clients on this node")
	w.noted("GlusterVolumeUnavailable", "check the DaemonSet gluster-bridge-clients on this node")
	require.Regexp(t, `weir_gluster_client_up\{client="`+testenv.Volume+`-[0-9a-f]+"\} 0`, w.metrics())
	require.NoError(t, w.clients.Start())
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		_, err := w.NodeStageVolume(ctx, &csi.NodeStageVolumeRequest{
			VolumeId: v.GetVolumeId(), StagingTargetPath: w.staging(v), VolumeCapability: capability(),
			VolumeContext: v.GetVolumeContext(),
		})
		return err
	})
	w.noted("GlusterVolumeAvailable", "Pods on this node can use volume "+testenv.Volume)
	up := regexp.MustCompile(`weir_gluster_client_up\{client="` + testenv.Volume + `-[0-9a-f]+"\} 1`)
	testkit.Eventually(t, timeout, func(context.Context) error {
		if text := w.metrics(); !up.MatchString(text) {
			return errors.New(text)
		}
		return nil
	})
}
