//go:build linux

// Package bench measures gluster-bridge beside the floor: a directory and an fsynced, renamed file through one FUSE
// mount, which is what a volume needs at least.
package bench

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
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
	e, p := start(t)
	point := e.Cluster.MountFor(t, testenv.Volume)
	t.Run("Provision", func(t *testing.T) { provision(t, e.At(t), p, point) })
	t.Run("Memory", func(t *testing.T) { memory(t, e.At(t), p, point) })
}

// start starts the controller with a storage whose sizes are enforced.
func start(t *testing.T) (*testenv.Env, *testenv.Process) {
	t.Helper()
	e := testenv.New(t)
	p := e.Process(t)
	require.NoError(t, p.Start())
	e.CreateStorage(kadaluv1alpha1.QuotaManaged)
	require.NoError(t, p.Ready(t.Context()))
	return e, p
}

// quotads simulates the quotad of each server.
func quotads(e *testenv.Env) {
	for server := 1; server <= gluster.Servers; server++ {
		e.Quotad(server)
	}
}

// provision measures calls beside the floor. The simulated quotads end with it.
func provision(t *testing.T, e *testenv.Env, p *testenv.Process, point string) {
	quotads(e)
	var floor, floorDelete, created, deleted, waits bench.Values
	cpu := map[string]time.Duration{}
	measure := func(round int) error {
		before := programs(p)
		defer func() {
			for name, used := range bench.Spent(before, programs(p)) {
				cpu[name] += used
			}
		}()
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
	rounds := number(t, "WEIR_BENCH_ROUNDS", bench.MinRounds)
	require.NoError(t, bench.Rounds(rounds, measure, baseline))
	t.Logf("replica 3, %d concurrent calls, limits acknowledged by 3 simulated quotads", workers)
	t.Logf("provision: %s/s, p99 %.3f s; the floor %s/s; ratio %s", created.Summary("%.1f"), waits.Percentile(99),
		floor.Summary("%.1f"), bench.Ratios(created, floor).Summary("%.2f"))
	t.Logf("delete: %s/s; the floor %s/s; ratio %s", deleted.Summary("%.1f"), floorDelete.Summary("%.1f"),
		bench.Ratios(deleted, floorDelete).Summary("%.2f"))
	for _, name := range slices.Sorted(maps.Keys(cpu)) {
		if perVolume := cpu[name] / time.Duration(rounds*perRound); perVolume >= time.Millisecond/2 {
			t.Logf("CPU to create and delete a volume: %.1f ms in %s", perVolume.Seconds()*1000, name)
		}
	}
}

// simulation is the name of this process in programs.
const simulation = "the test with 3 simulated quotads"

// programs returns the CPU time of all processes by program. They are those of the test, which has its own namespace.
// The test runs gluster-bridge from its own executable.
func programs(p *testenv.Process) map[string]time.Duration {
	const bridge, executable = "gluster-bridge", "exe"
	used := bench.Programs("")
	used[bridge] = time.Duration(bench.CPU(p.PID()) * float64(time.Second))
	used[simulation] = used[executable] - used[bridge]
	delete(used, executable)
	return used
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

// memory restarts the controller on many volumes, which have metadata, a GlusterVolume and the reports of all bricks,
// and waits until it has written a condition for each.
func memory(t *testing.T, e *testenv.Env, p *testenv.Process, point string) {
	volumes := number(t, "WEIR_BENCH_VOLUMES", 10_000)
	client := e.Weir.StorageV1alpha1().GlusterVolumes()
	uuid := strings.TrimSpace(strings.TrimPrefix(volumeID.FindString(e.Cluster.Gluster("volume", "info", testenv.Volume)),
		"Volume ID:"))
	require.NotEmpty(t, uuid)
	p.Kill()
	names, projects := make([]string, volumes), map[string]int64{}
	for i := range names {
		names[i] = fmt.Sprintf("pvc-memory-%d", i)
		projects[names[i]] = decide.DefaultProjects.First + int64(i)
	}
	seconds, _, err := run(names, func(name string) error {
		file := filepath.Join(point, decide.InfoPath(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		id := decide.VolumeID{Namespace: testenv.Namespace, Storage: testenv.Storage, Directory: name}
		info := decide.NewInfo(name, 1)
		info.Storage, info.ProjectID = id.StorageID(), projects[name]
		if err := os.WriteFile(file, info.Encode(), 0o600); err != nil {
			return err
		}
		gv, err := client.Apply(t.Context(), decide.GlusterVolume(id, info, testenv.Volume, uuid),
			metav1.ApplyOptions{FieldManager: decide.Manager})
		if err != nil {
			return err
		}
		for server := 1; server <= gluster.Servers; server++ {
			gv.Status.Bricks = append(gv.Status.Bricks, storagev1alpha1.BrickStatus{
				Node: fmt.Sprintf("00000000-0000-0000-0000-%012d", server), Host: gluster.Host(server),
				Brick: e.Cluster.Brick(server, testenv.Volume), State: storagev1alpha1.BrickEnforced,
				LimitBytes: info.Size, ObservedGeneration: gv.Generation, Message: "simulated",
			})
		}
		_, err = client.UpdateStatus(t.Context(), gv, metav1.UpdateOptions{FieldManager: "quotad"})
		return err
	})
	require.NoError(t, err)
	bench.Logf("created %d volumes in %.0f s", volumes, seconds)
	require.NoError(t, p.Start())
	begun := time.Now()
	require.NoError(t, p.Ready(t.Context()))
	loaded := time.Since(begun)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	// The list of all objects takes time itself.
	require.NoError(t, testkit.PollEvery(ctx, 5*time.Second, "all conditions", func(ctx context.Context) error {
		list, err := client.List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			return err
		}
		enforced := 0
		for _, gv := range list.Items {
			if meta.IsStatusConditionTrue(gv.Status.Conditions, storagev1alpha1.ConditionEnforced) {
				enforced++
			}
		}
		if enforced < volumes {
			return fmt.Errorf("%d of %d GlusterVolumes have the condition Enforced", enforced, volumes)
		}
		return nil
	}))
	resident, peak := bench.Memory(p.PID())
	t.Logf("%d volumes: metadata read in %s, conditions written in %s; resident memory %.0f MiB, peak %.0f MiB", volumes,
		loaded.Round(time.Millisecond), time.Since(begun).Round(time.Second), resident, peak)
	idle := bench.CPU(p.PID())
	require.NoError(t, bench.Sleep(t.Context(), idlePeriod))
	t.Logf("idle with %d volumes: %.1f %% of a CPU", volumes,
		100*(bench.CPU(p.PID())-idle)/idlePeriod.Seconds())
}

// volumeID is the line with the UUID of a volume in the output of gluster volume info.
var volumeID = regexp.MustCompile(`Volume ID: [0-9a-f-]+`)

const idlePeriod = 10 * time.Second
