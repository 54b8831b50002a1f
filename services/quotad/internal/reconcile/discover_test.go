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

func TestVolumeIsCheckedFromItsFirstGlusterVolumeUntilItsLastLimitIsReleased(t *testing.T) {
	t.Parallel()
	const id, volume = "6b1e1b4c-0000-4000-8000-00000000000a", "6b1e1b4c-0000-4000-8000-000000000001"
	dir := t.TempDir()
	for name, content := range map[string]string{
		"glusterd.info":       "UUID=" + id + "\n",
		"vols/v1/info":        "type=2\ncount=1\nsub_count=1\nvolume-id=" + volume + "\nbrick-0=a:-b\n",
		"vols/v1/bricks/a:-b": "uuid=" + id + "\nhostname=a\npath=" + dir + "/b\n",
	} {
		name = filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
		require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	}
	records, err := ledger.Open(t.TempDir())
	require.NoError(t, err)
	defer func() { require.NoError(t, records.Close()) }()
	source := &toggled{}
	var enqueued []controller.Key
	r := &Reconciler{
		Dir: dir, Records: records, Source: source, Reporter: silent{}, Interval: time.Minute, Log: slog.Default(),
		Metrics: NewMetrics(prometheus.NewRegistry()), Enqueue: func(k controller.Key) { enqueued = append(enqueued, k) },
	}
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
	require.Empty(t, discover())
	source.isOn = true
	require.Equal(t, []controller.Key{key}, discover(), "a GlusterVolume again")
}
