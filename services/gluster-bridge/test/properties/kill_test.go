//go:build linux

// Package properties tests the properties that every controller of Weir has, on a real GlusterFS volume.
package properties

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/test/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

const mebibyte = 1 << 20

// kills returns how often the controller is killed: 12, or the number in WEIR_GLUSTER_KILLS.
func kills(t *testing.T) int {
	t.Helper()
	text := os.Getenv("WEIR_GLUSTER_KILLS")
	if text == "" {
		return 12
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// TestControllerOnGlusterFS shares one cluster, whose start takes most of the time.
func TestControllerOnGlusterFS(t *testing.T) {
	e := testenv.New(t)
	for server := 1; server <= 3; server++ {
		e.Quotad(server)
	}
	e.AddStorage(kadaluv1alpha1.QuotaManaged)
	t.Run("AControllerThatIsKilledLosesAndLeavesNothing", func(t *testing.T) { killed(t, e) })
	t.Run("IdleVolumesCauseNoWrite", func(t *testing.T) { idle(t, e) })
	t.Run("EveryPermissionIsUsedAndNoneIsMissing", func(t *testing.T) { rights(t, e) })
	t.Run("PerturbedControllersHaveTheSameResult", func(t *testing.T) { testkit.Long(t); perturbed(t, e) })
	t.Run("ChangesOfAStorageHaveTheResultOfANewOne", func(t *testing.T) { testkit.Long(t); transitions(t, e) })
}

// sidecar calls the controller as the sidecars do: it repeats a call until it succeeds or has a final error.
type sidecar struct {
	csi.ControllerClient
	calls atomic.Int64
	ended atomic.Bool
}

func (s *sidecar) until(ctx context.Context, call func(context.Context) error) error {
	for {
		once, cancel := context.WithTimeout(ctx, 30*time.Second)
		err := call(once)
		cancel()
		s.calls.Add(1)
		switch status.Code(err) {
		case codes.OK:
			return nil
		case codes.Unavailable, codes.Aborted, codes.DeadlineExceeded, codes.Canceled, codes.FailedPrecondition:
			// FailedPrecondition: the caches of a new process know the storage only after a moment.
		case codes.InvalidArgument:
			if !strings.Contains(err.Error(), "does not exist") {
				return err
			}
		default:
			return err
		}
		timer := time.NewTimer(10 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// life creates, grows, copies and deletes volumes until the kills are over. It returns what must exist then.
func (s *sidecar) life(ctx context.Context, worker int, random *rand.Rand) (volumes, snapshots []string, err error) {
	for i := 0; !s.ended.Load(); i++ {
		name := fmt.Sprintf("pvc-%d-%d", worker, i)
		volume, size := testenv.VolumeID(name), int64(mebibyte)
		if err := s.until(ctx, func(ctx context.Context) error {
			_, err := s.CreateVolume(ctx, testenv.Request(name, size))
			return err
		}); err != nil {
			return nil, nil, fmt.Errorf("create %s: %w", name, err)
		}
		volumes = append(volumes, name)
		switch random.IntN(3) {
		case 0:
			err = s.until(ctx, func(ctx context.Context) error {
				_, err := s.ControllerExpandVolume(ctx, &csi.ControllerExpandVolumeRequest{
					VolumeId: volume, CapacityRange: &csi.CapacityRange{RequiredBytes: 2 * size},
				})
				return err
			})
		case 1:
			snapshot := "snapshot-" + name
			err = s.until(ctx, func(ctx context.Context) error {
				_, err := s.CreateSnapshot(ctx, &csi.CreateSnapshotRequest{Name: snapshot, SourceVolumeId: volume})
				return err
			})
			snapshots = append(snapshots, decide.DirectoryOf(snapshot))
		}
		if err != nil {
			return nil, nil, fmt.Errorf("change %s: %w", name, err)
		}
		if len(volumes) > 4 {
			victim := volumes[random.IntN(len(volumes))]
			if err := s.until(ctx, func(ctx context.Context) error {
				_, err := s.DeleteVolume(ctx, &csi.DeleteVolumeRequest{VolumeId: testenv.VolumeID(victim)})
				return err
			}); err != nil {
				return nil, nil, fmt.Errorf("delete %s: %w", victim, err)
			}
			volumes = slices.DeleteFunc(volumes, func(name string) bool { return name == victim })
		}
		if len(snapshots) > 2 {
			victim := snapshots[0]
			if err := s.until(ctx, func(ctx context.Context) error {
				_, err := s.DeleteSnapshot(ctx, &csi.DeleteSnapshotRequest{SnapshotId: testenv.VolumeID("@" + victim)})
				return err
			}); err != nil {
				return nil, nil, fmt.Errorf("delete snapshot %s: %w", victim, err)
			}
			snapshots = snapshots[1:]
		}
	}
	return volumes, snapshots, nil
}

func killed(t *testing.T, e *testenv.Env) {
	p := e.Process(t)
	require.NoError(t, p.Start())
	require.NoError(t, p.Ready(t.Context()))
	s := &sidecar{ControllerClient: p}
	const workers = 4
	var running sync.WaitGroup
	var mu sync.Mutex
	var volumes, snapshots []string
	for worker := range workers {
		running.Go(func() {
			v, c, err := s.life(t.Context(), worker, rand.New(rand.NewPCG(14, uint64(worker))))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			volumes, snapshots = append(volumes, v...), append(snapshots, c...)
		})
	}
	random := rand.New(rand.NewPCG(14, 1<<32))
	n := kills(t)
	for range n {
		timer := time.NewTimer(time.Duration(random.IntN(700)) * time.Millisecond)
		<-timer.C
		p.Kill()
		require.NoError(t, p.Start())
		require.NoError(t, p.Ready(t.Context()))
	}
	s.ended.Store(true)
	running.Wait()
	var found testenv.Found
	testkit.Eventually(t, 2*time.Minute, func(ctx context.Context) (err error) {
		if found, err = e.Find(ctx); err != nil {
			return err
		}
		if err := found.Check(volumes...); err != nil {
			return err
		}
		for name, mode := range found.Modes {
			if mode != fs.ModeDir|fs.ModeSetgid|0o777 {
				return fmt.Errorf("%s has the mode %s", name, mode)
			}
		}
		for _, name := range snapshots {
			if !found.Snapshots[name] {
				return fmt.Errorf("lost: snapshot %s", name)
			}
		}
		if len(found.Snapshots) != len(snapshots) {
			return fmt.Errorf("orphan: %d snapshots exist, want %d", len(found.Snapshots), len(snapshots))
		}
		return nil
	})
	t.Logf("killed %d times during %d calls; %d volumes and %d snapshots: 0 orphans, 0 lost, 0 duplicates", n,
		s.calls.Load(), len(volumes), len(snapshots))
	for _, name := range snapshots {
		_, err := p.DeleteSnapshot(t.Context(), &csi.DeleteSnapshotRequest{SnapshotId: testenv.VolumeID("@" + name)})
		require.NoError(t, err)
	}
	for _, name := range volumes {
		_, err := p.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: testenv.VolumeID(name)})
		require.NoError(t, err)
	}
	testkit.Eventually(t, time.Minute, func(ctx context.Context) error {
		found, err := e.Find(ctx)
		if err != nil {
			return err
		}
		if len(found.Snapshots) > 0 {
			return fmt.Errorf("%d snapshots exist", len(found.Snapshots))
		}
		return found.Check()
	})
}
