//go:build linux

package bricks

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

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
	times := v.requests(1 << 30)
	fmt.Printf("request to enforced on 3 bricks: p50 %.1f ms, p99 %.1f ms (%d requests; aim p99 < 200 ms)\n",
		times.Percentile(50), times.Percentile(99), len(times))
}

// requests creates directories one after the other, with the project ids from first, and returns the times in ms until
// all bricks enforced their limits.
func (v *volume) requests(first uint32) (times bench.Values) {
	v.e.Helper()
	for i := range benchRequests {
		pv, project := fmt.Sprintf("request-%d", i), first+uint32(i) //nolint:gosec // small
		v.create(pv, 8*mebibyte, project)
		begun := time.Now()
		for brick := 0; brick < len(v.bricks); {
			if v.isLimited(brick, pv, project, 8*mebibyte) == nil {
				brick++
				continue
			}
			// The kernel has one processor, which quotad needs.
			<-time.After(time.Millisecond)
			require.Less(v.e, time.Since(begun), time.Minute)
		}
		times = append(times, time.Since(begun).Seconds()*1000)
	}
	return times
}

func benchManyDirectories(t *testing.T) {
	directories := benchDirectories
	if text := os.Getenv("WEIR_BENCH_DIRECTORIES"); text != "" {
		var err error
		directories, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	report := func(format string, arguments ...any) {
		fmt.Printf("%d directories, "+format+"\n", append([]any{directories}, arguments...)...)
	}
	e := newEnv(t)
	point := t.TempDir()
	quotakernel.Need(t)
	disk.NewSized(t, "xfs", int64(320+directories/80)).Mount(point, "prjquota")
	v := e.volume("data", replica3, point+"/brick")
	begun := time.Now()
	v.createMany(directories)
	report("created in %s", time.Since(begun).Round(time.Second))

	q := e.logged()
	check := q.checked(directories)
	report("all limits set: %s", check.Duration)
	q.end()
	// The check after the restart reads the file system instead of the caches of the kernel.
	unix.Sync()
	require.NoError(t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0o600))
	q = e.logged()
	check = q.checked(directories)
	used := q.cpu()
	report("all limits verified after a restart with cold caches: %s (aim <= 100 s for 100,000)", check.Duration)
	every, err := time.ParseDuration(check.Next)
	require.NoError(t, err)
	report("a check needs %.1f s of CPU: every %s that is %.2f %% of a core", used.Seconds(), every,
		100*used.Seconds()/every.Seconds())
	for q.looks < 3 && !q.isWatched {
		q.next(looked, watched)
	}
	if q.isWatched {
		report("descriptions are watched")
	} else {
		report("a look for changed descriptions used %s of CPU, the next one is after %s", q.look.CPU, q.look.Next)
	}

	before, waits := q.cpu(), q.waits()
	<-time.After(idleTime)
	report("idle: %.3f %% of a core in ticks of 10 ms, %.1f waits per second, %d MiB resident (aim < 0.1 %%)",
		100*(q.cpu()-before).Seconds()/idleTime.Seconds(), float64(q.waits()-waits)/idleTime.Seconds(), q.resident()>>20)
	times := v.requests(1<<30 + 1<<20)
	report("request to enforced: p50 %.1f ms, p99 %.1f ms (%d requests; aim p99 < 200 ms)", times.Percentile(50),
		times.Percentile(99), len(times))
	q.end()

	crawler := &logged{T: t, Cmd: exec.Command("/proc/self/exe")}
	crawler.Env = append(os.Environ(), crawlVariable+"="+v.bricks[0])
	require.NoError(t, process.Start(crawler.Cmd))
	<-time.After(idleTime)
	report("a crawl every 2 s: %.1f %% of a core", 100*crawler.cpu().Seconds()/idleTime.Seconds())
	crawler.end()
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

// logged is a process whose log is read.
type logged struct {
	*testing.T
	*exec.Cmd
	lines *bufio.Scanner
	// look is the last look for changed descriptions, looks their number.
	look  logLine
	looks int
	// isWatched is true if the descriptions are watched instead.
	isWatched bool
}

// looked is the message about a look, watched the one about descriptions that are watched.
const looked, watched = "looked for changed descriptions", "descriptions are watched"

// logLine has the fields of log lines that are of interest.
type logLine struct {
	Msg, Duration, CPU, Next string
	Directories, Enforced    int
}

// logged starts quotad as a process.
func (e *Env) logged() *logged {
	e.Helper()
	q := &logged{T: e.T, Cmd: exec.Command("/proc/self/exe")}
	arguments := strings.ReplaceAll(strings.Join(e.arguments(), " "), "--log-level=error",
		"--log-level=debug --log-format=json")
	q.Env = append(os.Environ(), childVariable+"="+arguments)
	reader, writer, err := os.Pipe()
	require.NoError(e, err)
	q.Stderr, q.lines = writer, bufio.NewScanner(reader)
	require.NoError(e, errors.Join(process.Start(q.Cmd), writer.Close()))
	e.Cleanup(func() { _ = reader.Close() })
	return q
}

// next waits for a line of the log with one of the messages.
func (q *logged) next(messages ...string) (line logLine) {
	q.Helper()
	for q.lines.Scan() {
		line = logLine{}
		if json.Unmarshal(q.lines.Bytes(), &line) != nil {
			continue
		}
		if line.Msg == looked {
			q.look = line
			q.looks++
		}
		q.isWatched = q.isWatched || line.Msg == watched
		if slices.Contains(messages, line.Msg) {
			return line
		}
	}
	q.Fatalf("quotad ended before it logged %q", messages)
	return line
}

// checked waits for a check of all directories.
func (q *logged) checked(directories int) logLine {
	q.Helper()
	line := q.next("checked a volume")
	require.Equal(q, directories, line.Directories)
	require.Equal(q, directories, line.Enforced)
	return line
}

func (q *logged) end() {
	q.Helper()
	require.NoError(q, q.Process.Kill())
	_ = q.Wait()
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

// proc returns the content of a file about the process in /proc.
func (q *logged) proc(name string) string {
	q.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", q.Process.Pid, name))
	require.NoError(q, err)
	return string(content)
}

// cpu returns the CPU time of the process. The kernel counts it in ticks of 10 ms.
func (q *logged) cpu() time.Duration {
	q.Helper()
	stat := q.proc("stat")
	ticks := 0
	for _, field := range strings.Fields(stat[strings.LastIndexByte(stat, ')')+2:])[11:13] {
		n, err := strconv.Atoi(field)
		require.NoError(q, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// waits returns how often the threads of the process have waited. The number does not depend on ticks.
func (q *logged) waits() (sum int) {
	q.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", q.Process.Pid))
	require.NoError(q, err)
	for _, name := range threads {
		content, err := os.ReadFile(name)
		require.NoError(q, err)
		_, after, found := strings.Cut(string(content), "\nvoluntary_ctxt_switches:")
		require.True(q, found)
		n, err := strconv.Atoi(strings.Fields(after)[0])
		require.NoError(q, err)
		sum += n
	}
	return sum
}

// resident returns the resident memory of the process in bytes.
func (q *logged) resident() int {
	q.Helper()
	pages, err := strconv.Atoi(strings.Fields(q.proc("statm"))[1])
	require.NoError(q, err)
	return pages * os.Getpagesize()
}
