//go:build linux

package reconcile

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/quotad/internal/brick"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
	"github.com/weir-dev/weir/services/quotad/internal/ledger"
)

// toggled manages volumes while it is true, as Objects does while a GlusterVolume of the volume exists.
type toggled struct{ isOn bool }

func (s *toggled) Manages(decide.Volume) bool                                     { return s.isOn }
func (s *toggled) Walk(decide.Volume, []*brick.Brick, func([]string) error) error { return nil }
func (s *toggled) Target(decide.Volume, *brick.Brick, string) (decide.Target, bool) {
	return decide.Target{}, false
}

type silent struct{}

func (silent) Report(context.Context, string, []BrickResult, bool) error { return nil }

const volume = "6b1e1b4c-0000-4000-8000-000000000001"

// newReconciler returns the reconciler of a node with a brick of one volume.
func newReconciler(t *testing.T, source Source, enqueue func(controller.Key)) *Reconciler {
	t.Helper()
	const id = "6b1e1b4c-0000-4000-8000-00000000000a"
	dir := t.TempDir()
	for name, content := range map[string]string{
		"glusterd.info":       "UUID=" + id + "\n",
		"vols/v1/info":        "type=2\ncount=1\nsub_count=1\nvolume-id=" + volume + "\nbrick-0=a:-b\n",
		"vols/v1/bricks/a:-b": "uuid=" + id + "\nhostname=a\npath=" + dir + "/b\n",
	} {
		write(t, filepath.Join(dir, name), content)
	}
	records, err := ledger.Open(t.TempDir())
	require.NoError(t, err)
	r := &Reconciler{
		Dir: dir, Records: records, Source: source, Interval: time.Minute, Log: slog.New(slog.DiscardHandler),
		Metrics: NewMetrics(prometheus.NewRegistry()), Enqueue: enqueue,
	}
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

func write(t *testing.T, name, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
	require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
}

func TestVolumeIsCheckedFromItsFirstGlusterVolumeUntilItsLastLimitIsReleased(t *testing.T) {
	t.Parallel()
	source := &toggled{}
	var enqueued []controller.Key
	r := newReconciler(t, source, func(k controller.Key) { enqueued = append(enqueued, k) })
	r.Reporter = silent{}
	records := r.Records
	key := controller.Key{Namespace: volume}
	reconcile := func(k controller.Key) time.Duration {
		result, err := r.Reconcile(t.Context(), k)
		require.NoError(t, err)
		return result.RequeueAfter
	}
	discover := func() []controller.Key {
		enqueued = nil
		reconcile(Discover)
		return enqueued
	}
	require.Empty(t, discover())
	source.isOn = true
	require.Equal(t, []controller.Key{key}, discover(), "the first GlusterVolume")
	require.Empty(t, discover(), "the check repeats itself")
	require.Equal(t, time.Minute, reconcile(key))

	const fileSystem = "0f0e0d0c-0000-4000-8000-000000000001"
	require.NoError(t, records.Write(fileSystem, []ledger.Change{
		{Project: 5, Owner: &decide.Owner{Volume: volume, Path: "subvol/00/00/a"}},
	}))
	source.isOn = false
	require.Equal(t, time.Minute, reconcile(key), "limits have to be released")
	require.NoError(t, records.Write(fileSystem, []ledger.Change{{Project: 5}}))
	require.Zero(t, reconcile(key))
	source.isOn = true
	require.Equal(t, []controller.Key{key}, discover(), "a GlusterVolume again, and no discovery without one")

	source.isOn = false
	require.Zero(t, reconcile(key))
	require.Empty(t, discover())
	source.isOn = true
	enqueued = nil
	directory := controller.Key{Namespace: volume, Name: "subvol/00/00/a"}
	reconcile(directory)
	require.Equal(t, []controller.Key{Discover}, enqueued, "the directory of the first GlusterVolume starts the check")
	require.Equal(t, []controller.Key{key}, discover())
	reconcile(directory)
	require.Empty(t, discover())
}

func TestFilesOfGlusterdAreReadRarelyWhileTheyAreWatched(t *testing.T) {
	t.Parallel()
	r := newReconciler(t, Bricks{}, func(controller.Key) {})
	after := func() time.Duration {
		result, err := r.Reconcile(t.Context(), Discover)
		require.NoError(t, err)
		return result.RequeueAfter
	}
	require.Equal(t, discoverInterval, after())
	r.watched.Store(true)
	require.Equal(t, watchedInterval, after())
	write(t, filepath.Join(r.Dir, "vols/v2/info"), "count=1\n")
	require.Equal(t, discoverInterval, after(), "a volume that cannot be read")
}

func TestVolumesStayManagedWhileTheirListCannotBeRead(t *testing.T) {
	t.Parallel()
	var managed []bool
	r := newReconciler(t, Bricks{}, func(controller.Key) {})
	r.Changed = func(volumes []decide.Volume) { managed = append(managed, len(volumes) == 1) }
	list := filepath.Join(r.Dir, "kadalustorage.info")
	for _, content := range []string{"v1\n", `["v1`, "v1\nan other\n", "", "v1\n"} {
		write(t, list, content)
		_, err := r.Reconcile(t.Context(), Discover)
		require.NoError(t, err)
	}
	require.NoError(t, os.Remove(list))
	_, err := r.Reconcile(t.Context(), Discover)
	require.NoError(t, err)
	require.Equal(t, []bool{true, true, true, false, true, false}, managed,
		"a list that is written, a partial one, an invalid one, an empty one, a list again, none")
}

func TestOnlyOneQuotadUsesTheFilesOfGlusterd(t *testing.T) {
	t.Parallel()
	first := newReconciler(t, Bricks{}, func(controller.Key) {})
	second := newReconciler(t, Bricks{}, func(controller.Key) {})
	second.Dir = first.Dir
	_, err := first.Reconcile(t.Context(), Discover)
	require.NoError(t, err)
	_, err = second.Reconcile(t.Context(), Discover)
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorContains(t, err, first.Dir)
	require.Error(t, second.Ready(t.Context()))
	require.Empty(t, second.volumes())
	require.NoError(t, first.unlock())
	first.unlock = nil
	_, err = second.Reconcile(t.Context(), Discover)
	require.NoError(t, err, "the first one has ended")
	require.NoError(t, second.Ready(t.Context()))
}
