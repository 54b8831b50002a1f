package jvm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHeapSizeLeavesMemoryForTheRestOfTheJVM(t *testing.T) {
	for _, test := range []struct {
		name  string
		limit int64
		want  []string
	}{
		{"no limit", 0, nil},
		{"a very small limit", 128 * mib, []string{"-Xmx64m"}},
		{"512 MiB reserves the minimum", 512 * mib, []string{"-Xmx320m"}},
		{"1 GiB reserves a quarter", 1024 * mib, []string{"-Xmx768m"}},
		{"16 GiB reserves the maximum", 16 * 1024 * mib, []string{"-Xmx15360m"}},
	} {
		t.Run(test.name, func(t *testing.T) { require.Equal(t, test.want, HeapArgs(test.limit)) })
	}
}

func TestMemoryLimitIsTheSmallestOfAllCgroups(t *testing.T) {
	for _, test := range []struct {
		name  string
		self  string
		files map[string]string
		want  int64
	}{
		{"no cgroup", "", nil, 0},
		{"version 2 in a container", "0::/\n", map[string]string{"memory.max": "536870912\n"}, 512 * mib},
		{"version 2 without a limit", "0::/\n", map[string]string{"memory.max": "max\n"}, 0},
		{"version 2 with a limit of the parent", "0::/kubepods/pod1/c1\n", map[string]string{
			"kubepods/pod1/c1/memory.max": "max", "kubepods/pod1/memory.max": "1073741824",
			"kubepods/memory.max": "8589934592"}, 1024 * mib},
		{"version 1", "12:cpu,cpuacct:/x\n5:memory:/kubepods/c1\n", map[string]string{
			"memory/kubepods/c1/memory.limit_in_bytes": "268435456",
			"memory/memory.limit_in_bytes":             "9223372036854771712"}, 256 * mib},
		{
			"version 1 without a limit",
			"5:memory:/\n",
			map[string]string{"memory/memory.limit_in_bytes": "9223372036854771712"},
			0,
		},
		{"invalid values", "x\n0::/a\n", map[string]string{"a/memory.max": "-5", "memory.max": "many"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			for name, content := range test.files {
				path := filepath.Join(root, name)
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
				require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
			}
			self := filepath.Join(t.TempDir(), "cgroup")
			require.NoError(t, os.WriteFile(self, []byte(test.self), 0o600))
			require.Equal(t, test.want, MemoryLimit(root, self))
		})
	}
}

func TestOOMKillsAreCounted(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "memory.events"), []byte("low 0\noom 3\noom_kill 2\n"), 0o600))
	require.EqualValues(t, 2, OOMKills(root, "/nonexistent"))
	require.Zero(t, OOMKills(t.TempDir(), "/nonexistent"))
}

func TestEventsAreReadUntilThePipeCloses(t *testing.T) {
	var got []string
	err := ReadEvents(strings.NewReader(`{"event":"heartbeat"}
{"event":"taskConfigs","configs":[{"connector":{"a":"1"},"task":{"b":"2"}}],"requestedAt":5}
{"event":"failed","reason":"TaskFailed","message":"x","more":1}
`), func(e Event) { got = append(got, e.Event) })
	require.NoError(t, err)
	require.Equal(t, []string{"heartbeat", "taskConfigs", "failed"}, got)
}

func TestInvalidEventsAreNotQuotedInErrors(t *testing.T) {
	for _, line := range []string{"hunter2", `{"secret":"hunter2"}`, `{"event":5,"secret":"hunter2"}`} {
		err := ReadEvents(strings.NewReader(line), func(Event) {})
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add([]byte(`{"event":"heartbeat"}`))
	f.Add([]byte(`{"event":"taskConfigs","configs":[{"connector":null}]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if e, err := ParseEvent(line); err == nil {
			require.NotEmpty(t, e.Event)
		}
	})
}
