//go:build linux

package brick

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/pkg/testkit/disk"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

func TestMain(m *testing.M) { disk.Main(m) }

// BenchmarkDirectories measures what reading the directories of a brick costs on the kernel of the machine, which needs
// no quota for it. Under user-mode Linux, system calls cost many times more, and CPU time is counted in ticks of 10 ms.
func BenchmarkDirectories(b *testing.B) {
	directories := 100_000
	if text := os.Getenv("WEIR_BENCH_DIRECTORIES"); text != "" {
		var err error
		if directories, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	disk.Need(b, "xfs")
	point := b.TempDir()
	disk.NewSized(b, "xfs", int64(320+directories/80)).Mount(point)
	for i := range directories {
		pv := fmt.Sprintf("pvc-%d", i)
		h := fmt.Sprintf("%016x", xxhash.Sum64String(pv))
		data := filepath.Join("subvol", h[:2], h[2:4])
		info := filepath.Join(point, "info", h[:2], h[2:4])
		content := fmt.Appendf(nil, `{"size": 8388608, "path_prefix": %q, "project_id": %d}`, data, 1<<30+i)
		err := errors.Join(os.MkdirAll(filepath.Join(point, data, pv), 0o755), os.MkdirAll(info, 0o755),
			os.WriteFile(filepath.Join(info, pv+".json"), content, 0o600))
		if err != nil {
			b.Fatal(err)
		}
	}
	root, err := node.OpenDir(point)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	brick := &Brick{root: root}
	b.Run("look for changed descriptions", func(b *testing.B) {
		measure(b, directories, func() (int, error) {
			changes, err := brick.Changes()
			return len(changes), err
		})
	})
	b.Run("read all directories", func(b *testing.B) {
		v := decide.Volume{Kind: decide.Replicate}
		measure(b, directories, func() (found int, err error) {
			return found, brick.Walk(func(paths []string) error {
				for _, path := range paths {
					if t, isTarget := brick.Target(v, path); !isTarget || t.Problem != "" {
						return fmt.Errorf("%s has no description: %s", path, t.Problem)
					}
					if d, err := brick.Directory(path, nil); err != nil || !d.Exists {
						return fmt.Errorf("%s does not exist: %w", path, err)
					}
					found++
				}
				return nil
			})
		})
	})
}

// measure reports the CPU time of a function. It must find something for at least a tenth of the directories, which
// share those of their descriptions.
func measure(b *testing.B, directories int, f func() (found int, err error)) {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begun := threadTime(b)
	for b.Loop() {
		if found, err := f(); err != nil || found < directories/10 {
			b.Fatal(found, err)
		}
	}
	b.ReportMetric((threadTime(b)-begun).Seconds()*1000/float64(b.N), "CPU-ms/op")
}

func threadTime(b *testing.B) time.Duration {
	b.Helper()
	var used unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Nano())
}
