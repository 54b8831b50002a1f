//go:build linux

package bricks

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/testkit/quotakernel"
)

// TestKilledAtRandomTimesLeavesNoWrongLimit kills quotad while volumes are created, grown and deleted.
// WEIR_QUOTAD_KILLS is the number of kills.
func TestKilledAtRandomTimesLeavesNoWrongLimit(t *testing.T) {
	t.Parallel()
	kills := 25
	if text := os.Getenv("WEIR_QUOTAD_KILLS"); text != "" {
		var err error
		kills, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	const foreign, foreignLimit = 77, 3 * mebibyte
	e := newEnv(t)
	v := e.volume("data", replica3, e.disk()+"/brick")
	require.NoError(t, os.MkdirAll(v.data(0, "foreign"), 0o755))
	v.limit("foreign", foreign, foreignLimit)
	random := rand.New(rand.NewPCG(1, 2))
	sizes, projects := map[string]int64{}, map[string]uint32{}
	next := uint32(1 << 30)
	change := func() {
		pv := fmt.Sprintf("pvc-%d", random.IntN(12))
		size := int64(1+random.IntN(16)) * mebibyte
		switch _, exists := sizes[pv]; {
		case !exists:
			next++
			projects[pv], sizes[pv] = next, size
			v.create(pv, size, next)
			for i := range 20 {
				require.NoError(t, os.WriteFile(filepath.Join(v.data(0, pv), strconv.Itoa(i)), []byte("data"), 0o600))
			}
		case random.IntN(3) == 0:
			v.remove(pv)
			delete(sizes, pv)
			delete(projects, pv)
		default:
			sizes[pv] = size
			v.describe(pv, size, projects[pv])
		}
	}
	for range kills {
		child := e.start()
		for range 1 + random.IntN(4) {
			change()
		}
		// A time at which the process starts, reads or writes.
		<-time.After(time.Duration(random.IntN(150)) * time.Millisecond)
		require.NoError(t, child.Process.Kill())
		_ = child.Wait()
	}
	e.run()
	want := map[uint32]uint64{foreign: foreignLimit}
	for pv, size := range sizes {
		v.limited(pv, projects[pv], uint64(size))
		want[projects[pv]] = uint64(size)
	}
	e.eventually(func() error {
		if have := quotakernel.Limits(t, v.bricks[0]); !maps.Equal(have, want) {
			return fmt.Errorf("the limits are %v, not %v", have, want)
		}
		return nil
	})
	// The record that everything is assigned is written after the limit.
	e.eventually(func() error {
		if output, _ := e.check(); strings.Contains(output, "not everything in it belongs to") {
			return errors.New(output)
		}
		return nil
	})
	t.Logf("%d kills, %d directories: 0 limits missing, 0 left over, 0 of others changed", kills, len(sizes))
}

func TestLostRequestsAreFoundByACheckOfAllDirectories(t *testing.T) {
	t.Parallel()
	const limit = "/proc/sys/fs/inotify/max_queued_events"
	before, err := os.ReadFile(limit)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(limit, []byte("1"), 0o600))
	t.Cleanup(func() { require.NoError(t, os.WriteFile(limit, before, 0o600)) })
	e := newEnv(t)
	e.serveMetrics()
	v := e.volume("data", replica3, e.disk()+"/brick")
	v.create("pvc-0", 8*mebibyte, 1<<30)
	c := e.start()
	v.limited("pvc-0", 1<<30, 8*mebibyte)
	overflows := func() (n float64) {
		e.eventually(func() (err error) {
			n, err = e.metric("weir_quota_event_overflows_total")
			return err
		})
		return n
	}
	had := overflows()
	// A stopped process reads no events: the queue has one of them and the overflow.
	require.NoError(t, c.Process.Signal(unix.SIGSTOP))
	for i := 1; i < 50; i++ {
		v.create(fmt.Sprintf("pvc-%d", i), 8*mebibyte, uint32(1<<30+i))
	}
	require.NoError(t, c.Process.Signal(unix.SIGCONT))
	for i := 1; i < 50; i++ {
		v.limited(fmt.Sprintf("pvc-%d", i), uint32(1<<30+i), 8*mebibyte)
	}
	require.Greater(t, overflows(), had)
}
