//go:build linux

package csi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weir-dev/weir/pkg/testkit"
	testgluster "github.com/weir-dev/weir/pkg/testkit/gluster"
)

// unavailable: the calls of a storage that is not reachable wait for it, and delay no call of another one.
func unavailable(t *testing.T) {
	dead := storage("dead", "r3", true)
	dead.Volume.Hosts = []string{"127.1.1.9"}
	missing := storage("missing", "does-not-exist", true)
	_, c, _ := driver(t, dead, missing, storage("ext-storage", "r3", true))
	for _, name := range []string{"dead", "missing"} {
		_, err := c.CreateVolume(t.Context(), request("pvc-1", name, 1<<20))
		require.Equal(t, codes.Unavailable, status.Code(err), err)
		require.ErrorContains(t, err, "no host serves the volume")
	}
	const volumes = 20
	provision := func(round string) (times []time.Duration) {
		for i := range volumes {
			name := fmt.Sprintf("pvc-%s-%d", round, i)
			begun := time.Now()
			_, err := c.CreateVolume(t.Context(), request(name, "ext-storage", 1<<20))
			times = append(times, time.Since(begun))
			require.NoError(t, err)
			_, err = c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: "default/ext-storage/" + name})
			require.NoError(t, err)
		}
		slices.Sort(times)
		return times
	}
	alone := provision("alone")

	// As many calls as a sidecar makes wait for the storage whose server does not answer: it accepts connections only.
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.1.1.8:24007")
	require.NoError(t, err)
	silent := storage("silent", "r3", true)
	silent.Volume.Hosts = []string{"127.1.1.8"}
	c.Storages = append(c.Storages.(fixed), silent)
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	const calls = 100
	for i := range calls {
		waiting.Go(func() {
			_, err := c.CreateVolume(ctx, request(fmt.Sprintf("pvc-silent-%d", i), "silent", 1<<20))
			require.Error(t, err)
		})
	}
	beside := provision("beside")
	cancel()
	require.NoError(t, listener.Close())
	waiting.Wait()
	p := func(times []time.Duration, percent int) time.Duration {
		return times[len(times)*percent/100].Round(time.Millisecond / 10)
	}
	t.Logf("CreateVolume on a storage: p50 %s, p99 %s; while %d calls wait for another storage: p50 %s, p99 %s",
		p(alone, 50), p(alone, 99), calls, p(beside, 50), p(beside, 99))
	// A call that waited for the other storage would end with its error, or take a second at least.
	require.Less(t, p(beside, 50), p(alone, 50)+200*time.Millisecond)
}

// eventually repeats CreateVolume until it has a result, as a sidecar does.
func eventually(t *testing.T, c *Controller, r *csi.CreateVolumeRequest, want codes.Code) error {
	t.Helper()
	var last error
	testkit.Eventually(t, time.Minute, func(ctx context.Context) error {
		_, last = c.CreateVolume(ctx, r)
		if code := status.Code(last); code != want {
			return fmt.Errorf("%s, want %s: %w", code, want, last)
		}
		return nil
	})
	return last
}

func stopped(t *testing.T, cluster *testgluster.Cluster) {
	cluster.Volume("s3", "replica", "3")
	used, late := storage("used", "s3", true), storage("late", "s3", true)
	late.Volume.Options = []string{"log-level=ERROR"}
	_, c, _ := driver(t, used, late, storage("ext-storage", "r3", true))
	c.Timeout = 5 * time.Second
	require.NoError(t, eventually(t, c, request("pvc-1", "used", 1<<20), codes.OK))
	cluster.Gluster("volume", "stop", "s3")
	err := eventually(t, c, request("pvc-2", "used", 1<<20), codes.Unavailable)
	require.ErrorContains(t, err, "check gluster volume status")
	err = eventually(t, c, request("pvc-3", "late", 1<<20), codes.Unavailable)
	require.Regexp(t, "check that it is started|check gluster volume status", err.Error())
	require.NoError(t, eventually(t, c, request("pvc-4", "ext-storage", 1<<20), codes.OK))
	cluster.Gluster("volume", "start", "s3")
	require.NoError(t, eventually(t, c, request("pvc-2", "used", 1<<20), codes.OK))
	require.NoError(t, eventually(t, c, request("pvc-3", "late", 1<<20), codes.OK))
}

func full(t *testing.T) {
	_, c, n := driver(t, storage("ext-storage", "r3", true))
	created, err := c.CreateVolume(t.Context(), request("pvc-full", "ext-storage", 1<<20))
	require.NoError(t, err)
	target := publish(t, n, created.GetVolume(), t.TempDir(), false)
	file, err := os.Create(filepath.Join(target, "file"))
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	// Without a quota a volume can use the space of all.
	end := int64(0)
	for size := int64(1 << 30); size >= 4096; {
		if err := unix.Fallocate(int(file.Fd()), 0, end, size); err != nil {
			require.Truef(t, errors.Is(err, unix.ENOSPC), "%v", err)
			size /= 2
			continue
		}
		end += size
	}
	refused := request("pvc-refused", "ext-storage", 1<<20)
	require.ErrorContains(t, eventually(t, c, refused, codes.ResourceExhausted), "no space left on device")
	require.NoError(t, file.Truncate(0))
	listed, err := c.ListVolumes(t.Context(), &csi.ListVolumesRequest{})
	require.NoError(t, err)
	for _, e := range listed.GetEntries() {
		require.NotContains(t, e.GetVolume().GetVolumeId(), refused.GetName(), "%d bytes were allocated", end)
	}
	require.NoError(t, eventually(t, c, refused, codes.OK))
}
