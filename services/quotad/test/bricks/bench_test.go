//go:build linux

package bricks

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit/bench"
	"github.com/weir-dev/weir/pkg/testkit/disk"
	"github.com/weir-dev/weir/pkg/testkit/quotakernel"
)

const (
	benchRequests    = 200
	benchDirectories = 100_000
	// idleTime is the time over which the CPU use of an idle process is measured.
	idleTime = 60 * time.Second
	// crawlVariable makes the test binary crawl a brick; see crawl.
	crawlVariable = "WEIR_QUOTAD_CRAWL"
)

func TestBenchLimits(t *testing.T) {
	if os.Getenv("WEIR_BENCH") == "" {
		t.Skip("this is a benchmark; run make bench SERVICE=quotad")
	}
	t.Run("requests", benchRequestsOnAllBricks)
	t.Run("directories", benchManyDirectories)
}

// benchRequestsOnAllBricks measures the time from a request until 3 bricks enforce it.
func benchRequestsOnAllBricks(t *testing.T) {
	e := newEnv(t)
	v := e.volume("data", replica3, e.disk()+"/brick", e.disk()+"/brick", e.disk()+"/brick")
	v.create("first", 8*mebibyte, 1<<30-1)
	e.run()
	v.limited("first", 1<<30-1, 8*mebibyte)
	var times bench.Values
	for i := range benchRequests {
		pv, project := fmt.Sprintf("pvc-%d", i), uint32(1<<30+i)
		v.create(pv, 8*mebibyte, project)
		begun := time.Now()
		for brick := 0; brick < len(v.bricks); {
			if v.isLimited(brick, pv, project, 8*mebibyte) == nil {
				brick++
			}
			require.Less(t, time.Since(begun), time.Minute)
		}
		times = append(times, time.Since(begun).Seconds()*1000)
	}
	fmt.Printf("request to enforced on 3 bricks: p50 %.1f ms, p99 %.1f ms (%d requests; aim p99 < 200 ms)\n",
		times.Percentile(50), times.Percentile(99), len(times))
}

func benchManyDirectories(t *testing.T) {
	directories := benchDirectories
	if text := os.Getenv("WEIR_BENCH_DIRECTORIES"); text != "" {
		var err error
		directories, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	e := newEnv(t)
	point := t.TempDir()
	quotakernel.Need(t)
	disk.NewSized(t, "xfs", int64(320+directories/80)).Mount(point, "prjquota")
	v := e.volume("data", replica3, point+"/brick")
	for i := range directories {
		v.create(fmt.Sprintf("pvc-%d", i), 8*mebibyte, uint32(1<<30+i))
	}
	duration, child := e.checked(directories)
	fmt.Printf("%d directories, all limits set: %s\n", directories, duration)
	require.NoError(t, child.Process.Kill())
	_ = child.Wait()
	duration, child = e.checked(directories)
	fmt.Printf("%d directories, all limits verified after a restart: %s (aim <= 100 s for 100,000)\n", directories,
		duration)
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	}()
	before := cpu(t, child.Process.Pid)
	<-time.After(idleTime)
	used := cpu(t, child.Process.Pid) - before
	fmt.Printf("%d directories, idle: %.3f %% of a core, %d MiB resident (aim < 0.1 %%)\n", directories,
		100*used.Seconds()/idleTime.Seconds(), resident(t, child.Process.Pid)>>20)

	crawler := exec.Command("/proc/self/exe")
	crawler.Env = append(os.Environ(), crawlVariable+"="+v.bricks[0])
	require.NoError(t, crawler.Start())
	<-time.After(idleTime)
	used = cpu(t, crawler.Process.Pid)
	require.NoError(t, crawler.Process.Kill())
	_ = crawler.Wait()
	fmt.Printf("%d directories, a crawl every 2 s: %.1f %% of a core\n", directories,
		100*used.Seconds()/idleTime.Seconds())
}

// checked starts quotad as a process and returns it after its first check of all directories, which takes duration.
func (e *Env) checked(directories int) (duration string, child *exec.Cmd) {
	e.Helper()
	child = exec.Command("/proc/self/exe")
	arguments := strings.ReplaceAll(strings.Join(e.arguments(), " "), "--log-level=error", "--log-format=json")
	child.Env = append(os.Environ(), childVariable+"="+arguments)
	output, err := child.StderrPipe()
	require.NoError(e, err)
	require.NoError(e, child.Start())
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		var line struct {
			Msg, Duration string
			Directories   int
			Enforced      int
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "checked a volume" {
			require.Equal(e, directories, line.Directories)
			require.Equal(e, directories, line.Enforced)
			return line.Duration, child
		}
	}
	e.Fatal("quotad ended before its first check")
	return "", nil
}

// crawl reads all descriptions and directories every 2 s, as a daemon without events does. It sets no limit.
func crawl(brick string) {
	for {
		_ = filepath.WalkDir(filepath.Join(brick, "info"), func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := os.ReadFile(name)
			var info struct {
				Size       int64  `json:"size"`
				PathPrefix string `json:"path_prefix"`
			}
			if err == nil {
				err = json.Unmarshal(content, &info)
			}
			if err == nil {
				_, err = os.Stat(filepath.Join(brick, info.PathPrefix, strings.TrimSuffix(entry.Name(), ".json")))
			}
			return err
		})
		<-time.After(2 * time.Second)
	}
}

// cpu returns the CPU time of a process.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err)
	fields := strings.Fields(string(content[strings.LastIndexByte(string(content), ')')+2:]))
	ticks := 0
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		require.NoError(t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// resident returns the resident memory of a process in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	require.NoError(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(content))[1])
	require.NoError(t, err)
	return pages * os.Getpagesize()
}
