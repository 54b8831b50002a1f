//go:build linux

package bricks

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	"github.com/weir-dev/weir/pkg/testkit/process"
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
				continue
			}
			// The kernel has one processor, which quotad needs.
			<-time.After(time.Millisecond)
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
	v.createMany(directories)
	duration, command := e.checked(directories)
	fmt.Printf("%d directories, all limits set: %s\n", directories, duration)
	require.NoError(t, command.Process.Kill())
	_ = command.Wait()
	duration, command = e.checked(directories)
	check := cpu(t, command.Process.Pid)
	fmt.Printf("%d directories, all limits verified after a restart: %s (aim <= 100 s for 100,000)\n", directories,
		duration)
	fmt.Printf("%d directories, a check needs %.1f s of CPU: every 10 min that is %.2f %% of a core\n", directories,
		check.Seconds(), 100*check.Minutes()/10)
	defer func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	}()
	before := cpu(t, command.Process.Pid)
	<-time.After(idleTime)
	used := cpu(t, command.Process.Pid) - before
	fmt.Printf("%d directories, idle: %.3f %% of a core, %d MiB resident (aim < 0.1 %%)\n", directories,
		100*used.Seconds()/idleTime.Seconds(), resident(t, command.Process.Pid)>>20)

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

// createMany creates directories and descriptions with few system calls, while quotad does not run.
func (v *volume) createMany(directories int) {
	v.e.Helper()
	made := map[string]bool{}
	for i := range directories {
		pv := fmt.Sprintf("pvc-%d", i)
		data, info := v.data(0, pv), v.info(0, pv)
		for _, parent := range []string{filepath.Dir(data), filepath.Dir(info)} {
			if !made[parent] {
				require.NoError(v.e, os.MkdirAll(parent, 0o755))
				made[parent] = true
			}
		}
		content := description(pv, 8*mebibyte, uint32(1<<30+i)) //nolint:gosec // small
		if err := errors.Join(os.Mkdir(data, 0o777), os.WriteFile(info, []byte(content), 0o600)); err != nil {
			v.e.Fatal(err)
		}
	}
}

// checked starts quotad as a process and returns it after its first check of all directories, which takes duration.
func (e *Env) checked(directories int) (duration string, command *exec.Cmd) {
	e.Helper()
	command = exec.Command("/proc/self/exe")
	arguments := strings.ReplaceAll(strings.Join(e.arguments(), " "), "--log-level=error", "--log-format=json")
	command.Env = append(os.Environ(), childVariable+"="+arguments)
	reader, writer, err := os.Pipe()
	require.NoError(e, err)
	command.Stderr = writer
	require.NoError(e, errors.Join(process.Start(command), writer.Close()))
	lines := bufio.NewScanner(reader)
	for lines.Scan() {
		var line struct {
			Msg, Duration string
			Directories   int
			Enforced      int
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "checked a volume" {
			require.Equal(e, directories, line.Directories)
			require.Equal(e, directories, line.Enforced)
			// The process must not wait for its log to be read.
			go func() { _, _ = io.Copy(io.Discard, reader) }()
			return line.Duration, command
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
