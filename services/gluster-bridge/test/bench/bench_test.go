//go:build linux

// Package bench measures gluster-bridge beside the floor: a directory and an fsynced, renamed file through one FUSE
// mount, which is what a volume needs at least.
package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/bench"
	"github.com/weir-dev/weir/pkg/testkit/gluster"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/test/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

const (
	mebibyte = 1 << 20
	// perRound is the number of volumes of a round.
	perRound = 60
	// workers is the number of concurrent calls, as many as external-provisioner makes by default is 100.
	workers = 10
)

// number returns the number in an environment variable.
func number(t *testing.T, variable string, standard int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

func TestBenchProvisionAndMemory(t *testing.T) {
	if os.Getenv("WEIR_BENCH") == "" {
		t.Skip("this is a benchmark; run make bench SERVICE=gluster-bridge")
	}
	e := testenv.New(t)
	p := e.Process(t)
	require.NoError(t, p.Start())
	e.CreateStorage(kadaluv1alpha1.QuotaManaged)
	require.NoError(t, p.Ready(t.Context()))
	for server := 1; server <= 3; server++ {
		e.Quotad(server)
	}
	point := e.Cluster.MountFor(t, testenv.Volume)

	var floor, floorDelete, created, deleted, waits bench.Values
	measure := func(round int) error {
		names := make([]string, perRound)
		for i := range names {
			names[i] = fmt.Sprintf("pvc-bench-%d-%d", round, i)
		}
		seconds, each, err := run(names, func(name string) error {
			_, err := p.CreateVolume(t.Context(), testenv.Request(name, mebibyte))
			return err
		})
		if err != nil {
			return err
		}
		created, waits = append(created, perRound/seconds), append(waits, each...)
		if seconds, _, err = run(names, func(name string) error {
			_, err := p.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: testenv.VolumeID(name)})
			return err
		}); err != nil {
			return err
		}
		deleted = append(deleted, perRound/seconds)
		return nil
	}
	baseline := func(round int) error {
		begun := time.Now()
		for i := range perRound {
			if err := directory(point, fmt.Sprintf("floor-%d-%d", round, i)); err != nil {
				return err
			}
		}
		floor = append(floor, perRound/time.Since(begun).Seconds())
		begun = time.Now()
		for i := range perRound {
			name := fmt.Sprintf("floor-%d-%d", round, i)
			if err := os.Rename(filepath.Join(point, decide.DataPath(name)), filepath.Join(point, "moved-"+name)); err != nil {
				return err
			}
			if err := os.Remove(filepath.Join(point, decide.InfoPath(name))); err != nil {
				return err
			}
		}
		floorDelete = append(floorDelete, perRound/time.Since(begun).Seconds())
		return nil
	}
	require.NoError(t, bench.Rounds(number(t, "WEIR_BENCH_ROUNDS", bench.MinRounds), measure, baseline))
	t.Logf("replica 3, %d concurrent calls, limits acknowledged by 3 simulated quotads", workers)
	t.Logf("provision: %s/s, p99 %.3f s; the floor %s/s; ratio %s", created.Summary("%.1f"), waits.Percentile(99),
		floor.Summary("%.1f"), bench.Ratios(created, floor).Summary("%.2f"))
	t.Logf("delete: %s/s; the floor %s/s; ratio %s", deleted.Summary("%.1f"), floorDelete.Summary("%.1f"),
		bench.Ratios(deleted, floorDelete).Summary("%.2f"))

	memory(t, e, p, point)
}

// run makes concurrent calls. It returns their duration and that of each call, in seconds.
func run(names []string, call func(string) error) (total float64, each bench.Values, err error) {
	queue := make(chan string, len(names))
	for _, name := range names {
		queue <- name
	}
	close(queue)
	var mu sync.Mutex
	var running sync.WaitGroup
	begun := time.Now()
	for range workers {
		running.Go(func() {
			for name := range queue {
				start := time.Now()
				callErr := call(name)
				mu.Lock()
				each = append(each, time.Since(start).Seconds())
				if callErr != nil {
					err = callErr
				}
				mu.Unlock()
			}
		})
	}
	running.Wait()
	return time.Since(begun).Seconds(), each, err
}

// directory creates what a volume is at least, in kadalu's layout.
func directory(point, name string) error {
	data, info := filepath.Join(point, decide.DataPath(name)), filepath.Join(point, decide.InfoPath(name))
	if err := os.MkdirAll(filepath.Dir(info), 0o700); err != nil {
		return err
	}
	file, err := os.Create(info + ".tmp")
	if err != nil {
		return err
	}
	if _, err := file.Write(decide.NewInfo(name, mebibyte).Encode()); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := os.Rename(info+".tmp", info); err != nil {
		return err
	}
	return os.MkdirAll(data, 0o777)
}

// memory restarts the controller on many volumes, and waits until all have a GlusterVolume.
func memory(t *testing.T, e *testenv.Env, p *testenv.Process, point string) {
	t.Helper()
	volumes := number(t, "WEIR_BENCH_VOLUMES", 10_000)
	p.Kill()
	names := make([]string, volumes)
	for i := range names {
		names[i] = fmt.Sprintf("pvc-memory-%d", i)
	}
	seconds, _, err := run(names, func(name string) error {
		file := filepath.Join(point, decide.InfoPath(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		info := decide.NewInfo(name, 1)
		return os.WriteFile(file, info.Encode(), 0o600)
	})
	require.NoError(t, err)
	bench.Logf("wrote the metadata of %d volumes in %.0f s", volumes, seconds)
	require.NoError(t, p.Start())
	begun := time.Now()
	require.NoError(t, p.Ready(t.Context()))
	loaded := time.Since(begun)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	// The list of all objects takes time itself.
	require.NoError(t, testkit.PollEvery(ctx, 5*time.Second, "all GlusterVolumes", func(ctx context.Context) error {
		list, err := e.Weir.StorageV1alpha1().GlusterVolumes().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			return err
		}
		reported := 0
		for _, gv := range list.Items {
			if len(gv.Status.Bricks) == gluster.Servers {
				reported++
			}
		}
		if reported < volumes {
			return fmt.Errorf("%d of %d volumes have a GlusterVolume that all bricks have reported", reported, volumes)
		}
		return nil
	}))
	resident, peak := bench.Memory(p.PID())
	t.Logf("%d volumes: adopted in %s, metadata read in %s; resident memory %.0f MiB, peak %.0f MiB", volumes,
		time.Since(begun).Round(time.Second), loaded.Round(time.Millisecond), resident, peak)
}
