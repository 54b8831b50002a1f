package integration

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBenchMemoryOfAnIdleTask(t *testing.T) {
	benchmark(t)
	b := sharedKafka(t)
	topic := b.CreateTopic(t, "bench-memory", 1)
	memoryOfAnIdleTask(t, topic, "bench-idle", "idle task pod of 448 MiB")
	memoryOfAnIdleTask(t, topic, "bench-idle-default", "the same without the options of the image",
		"-XX:+UnlockDiagnosticVMOptions", "-XX:ArchiveRelocationMode=1", "-XX:TrimNativeHeapInterval=0",
		"-XX:Tier3InvocationThreshold=200", "-XX:Tier3MinInvocationThreshold=100", "-XX:Tier3CompileThreshold=2000",
		"-XX:MetaspaceReclaimPolicy=balanced")
}

// memoryOfAnIdleTask reports the memory of one of two tasks without records. The JVM uses the options that it would
// choose in a container of podMemory, and more options.
func memoryOfAnIdleTask(t *testing.T, topic, name, title string, options ...string) {
	t.Helper()
	idle := deploy(t, name, map[string]string{
		"connector.class": sequence, "topic": topic, "count": "0", "tasks.max": "2",
	})
	idle.runner.JVMOptions = append([]string{"-XX:+UseSerialGC", "-XX:MaxRAM=" + strconv.Itoa(podMemory)}, options...)
	idle.group = newGroup(t)
	tasks := idle.startTasks(2)
	p := tasks[0]
	jvm, runner := pidLine.FindStringSubmatch(p.text())[1], strconv.Itoa(p.cmd.Process.Pid)
	// Memory falls for some time after the start, when the JVM returns what the compiler and the start needed.
	began, lowest := time.Now(), math.MaxInt
	eventually(t, 2*time.Minute, "memory is stable", func() bool {
		if private := memory(t, jvm, "Private_"); private < lowest {
			began, lowest = time.Now(), private
		}
		return time.Since(began) > 25*time.Second
	})
	for _, kind := range []struct{ title, prefix string }{
		{"resident (RSS)", "Rss:"}, {"with its share of what two tasks and the connector share (PSS)", "Pss:"},
		{"not shared, the cost of one more task", "Private_"},
	} {
		results.add(title+", MiB "+kind.title, "", "JVM %d, Go process %d", memory(t, jvm, kind.prefix),
			memory(t, runner, kind.prefix))
	}
	if idle.group != "" {
		aim := ""
		if len(options) == 0 {
			aim = "<= 80"
		}
		results.add(title+", MiB working set of a pod, on a node where others run", aim, "%d",
			workingSet(t, idle.group)/len(tasks))
	}
	for _, p := range tasks {
		p.kill()
	}
}

// memory returns the sum in MiB of the entries of a process's smaps_rollup whose names begin with prefix.
func memory(t *testing.T, pid, prefix string) int {
	t.Helper()
	rollup, err := os.ReadFile("/proc/" + pid + "/smaps_rollup")
	require.NoError(t, err)
	total := 0
	for line := range strings.Lines(string(rollup)) {
		fields := strings.Fields(line)
		if len(fields) == 3 && strings.HasPrefix(fields[0], prefix) {
			kib, err := strconv.Atoi(fields[1])
			require.NoError(t, err)
			total += kib
		}
	}
	require.NotZero(t, total, prefix)
	return total / 1024
}

// Names of the files of a memory cgroup in the versions 2 and 1, and the entry of memory.stat that is not part of the
// working set.
var groupFiles = []struct{ controller, root, usage, inactive string }{
	{"", "/sys/fs/cgroup", "memory.current", "inactive_file"},
	{"memory", "/sys/fs/cgroup/memory", "memory.usage_in_bytes", "total_inactive_file"},
}

// newGroup returns a cgroup whose memory is counted, until the end of the test; "" if this process may not create one.
func newGroup(t *testing.T) string {
	t.Helper()
	self, err := os.ReadFile("/proc/self/cgroup")
	require.NoError(t, err)
	for _, files := range groupFiles {
		for line := range strings.Lines(string(self)) {
			fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
			if len(fields) != 3 || fields[1] != files.controller {
				continue
			}
			dir := filepath.Join(files.root, fields[2], fmt.Sprintf("weir-bench-%d", time.Now().UnixNano()))
			if err := os.Mkdir(dir, 0o755); err != nil {
				continue
			}
			t.Cleanup(func() {
				eventually(t, time.Minute, "the processes of the cgroup have ended", func() bool { return os.Remove(dir) == nil })
			})
			if _, err := os.Stat(filepath.Join(dir, files.usage)); err == nil {
				return dir
			}
		}
	}
	t.Log("the working set is not measured: this process may not create a cgroup that counts memory")
	return ""
}

// workingSet returns the memory of a cgroup in MiB as the kubelet counts it: without the file pages that the kernel
// could remove at once.
func workingSet(t *testing.T, group string) int {
	t.Helper()
	for _, files := range groupFiles {
		usage, err := os.ReadFile(filepath.Join(group, files.usage))
		if err != nil {
			continue
		}
		bytes, err := strconv.Atoi(strings.TrimSpace(string(usage)))
		require.NoError(t, err)
		stat, err := os.ReadFile(filepath.Join(group, "memory.stat"))
		require.NoError(t, err)
		for line := range strings.Lines(string(stat)) {
			if text, found := strings.CutPrefix(strings.TrimSpace(line), files.inactive+" "); found {
				inactive, err := strconv.Atoi(text)
				require.NoError(t, err)
				return (bytes - inactive) >> 20
			}
		}
	}
	t.Fatalf("%s has no usage of memory", group)
	return 0
}
