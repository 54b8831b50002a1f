//go:build linux

package directory_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	v1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/pkg/testkit/disk"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/marker"
)

func TestNewDirectoryHasOwnerModeAndMarker(t *testing.T) {
	t.Parallel()
	disk.Need(t)
	base := t.TempDir()
	a := newAgent(base).add("kafka/data-kafka-0", func(d *v1.DirectorySpec) { d.Ordinal = 4 })
	a.ready(t)
	var stat unix.Stat_t
	require.NoError(t, unix.Stat(filepath.Join(base, "kafka/data-kafka-0"), &stat))
	require.EqualValues(t, unix.S_IFDIR|unix.S_ISGID|0o770, stat.Mode)
	require.EqualValues(t, []uint32{1001, 1002}, []uint32{stat.Uid, stat.Gid})
	status := a.node.Status
	require.NotEmpty(t, status.FileSystems[0].ID)
	got := *status.Directories[0].Marker
	require.WithinDuration(t, time.Now(), got.Created.Time, time.Minute)
	got.Created = v1.DirectoryMarker{}.Created
	require.Equal(t, v1.DirectoryMarker{
		ID: "kafka/kafka/data-kafka-0", SetName: "kafka", SetUID: "set-uid", Ordinal: 4, MachineID: machine,
		FileSystem: status.FileSystems[0].ID,
	}, got)
	entries, err := os.ReadDir(base)
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary directory remains")
}

func TestUnknownDirectoriesAreFound(t *testing.T) {
	t.Parallel()
	disk.Need(t)
	base := t.TempDir()
	newAgent(base).add("one").add("a/b/three").ready(t)
	s := newAgent(base).add("one").sync(t.Context())
	require.Len(t, s.Found, 1)
	require.Equal(t, "a/b/three", s.Found[0].Path)
	require.Equal(t, "kafka/a/b/three", s.Found[0].Marker.ID)
}

func TestAdoptedDirectoryKeepsItsContentsAndOwner(t *testing.T) {
	t.Parallel()
	disk.Need(t)
	base := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(base, "old"), 0o711))
	require.NoError(t, os.WriteFile(filepath.Join(base, "old/log"), []byte("records"), 0o600))
	a := newAgent(base).add("old")
	a.requireState(t, v1.FileSystemReady, v1.DirectoryUnmarked)
	a.node.Spec.Directories[0].Adopt = true
	a.ready(t)
	info, err := os.Stat(filepath.Join(base, "old"))
	require.NoError(t, err)
	require.Equal(t, fs.ModeDir|0o711, info.Mode())
	require.FileExists(t, filepath.Join(base, "old/log"))
}

func TestFailedCreationLeavesNothingAndIsRepeated(t *testing.T) {
	t.Parallel()
	disk.Need(t)
	base := t.TempDir()
	a := newAgent(base).add("one", func(d *v1.DirectorySpec) { d.Mode = "9" })
	require.Contains(t, a.requireState(t, v1.FileSystemReady, v1.DirectoryFailed).Directories[0].Message, `mode "9"`)
	a.node.Spec.Directories[0].Mode = ""
	// The remains of a crash.
	for _, name := range []string{".new-0", ".new-1"} {
		require.NoError(t, os.Mkdir(filepath.Join(base, name), 0o700))
	}
	require.NoError(t, os.WriteFile(filepath.Join(base, ".new-0/..volume-id.tmp"), []byte("{"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(base, ".new-1/.volume-id"), []byte("{}"), 0o600))
	a.ready(t)
	entries, err := os.ReadDir(base)
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func TestMarkersThatPodsReplaceAreNotFollowed(t *testing.T) {
	t.Parallel()
	disk.Need(t)
	base := t.TempDir()
	file := filepath.Join(base, "one/.volume-id")
	a := newAgent(base).add("one")
	a.ready(t)
	for name, replace := range map[string]func() error{
		"symbolic link": func() error { return os.Symlink("/etc/machine-id", file) },
		"named pipe":    func() error { return unix.Mkfifo(file, 0o600) },
		"directory":     func() error { return os.Mkdir(file, 0o700) },
		"empty file":    func() error { return os.WriteFile(file, nil, 0o600) },
		"no id":         func() error { return os.WriteFile(file, []byte("{}"), 0o600) },
		"two values":    func() error { return os.WriteFile(file, []byte(`{"id":"kafka/one"}{}`), 0o600) },
		"large file":    func() error { return os.WriteFile(file, bytes.Repeat([]byte(" "), 5000), 0o600) },
	} {
		require.NoError(t, os.Remove(file))
		require.NoError(t, replace())
		s := a.requireState(t, v1.FileSystemReady, v1.DirectoryConflict)
		require.Contains(t, s.Directories[0].Message, "not a marker", name)
	}
}

// The invariant of a crash: a directory exists with its own marker, or does not exist.
func TestKilledAgentLeavesNoDirectoryWithoutItsMarker(t *testing.T) {
	t.Parallel()
	disk.Need(t)
	killed, created, partial := 0, 0, 0
	for range 40 {
		base := t.TempDir()
		command := exec.CommandContext(t.Context(), "/proc/self/exe")
		command.Env = append(os.Environ(), childEnv+"="+base)
		require.NoError(t, command.Start())
		delay := time.Duration(rand.Int64N(int64(60 * time.Millisecond)))
		timer := time.AfterFunc(delay, func() { _ = command.Process.Kill() })
		if err := command.Wait(); err != nil {
			killed++
		}
		timer.Stop()
		claims, _ := filepath.Glob(filepath.Join(base, "ns/*"))
		created += len(claims)
		if len(claims) > 0 && len(claims) < childDirectories {
			partial++
		}
		for _, claim := range claims {
			requireMarker(t, claim, "kafka/ns/"+filepath.Base(claim))
		}
		// A new agent completes the work.
		command = exec.CommandContext(t.Context(), "/proc/self/exe")
		command.Env = append(os.Environ(), childEnv+"="+base)
		output, err := command.Output()
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("%d/%d\n", childDirectories, childDirectories), string(output))
		entries, err := os.ReadDir(base)
		require.NoError(t, err)
		require.Len(t, entries, 1, "no temporary directory remains")
	}
	t.Logf("%d of 40 agents killed, %d of them between two directories; %d directories checked after the kill: "+
		"0 without marker, 0 with a wrong one", killed, partial, created)
	require.Positive(t, killed)
}

func requireMarker(t *testing.T, dir, id string) {
	t.Helper()
	d, err := node.OpenDir(dir)
	require.NoError(t, err)
	defer func() { _ = d.Close() }()
	m, err := marker.Read(d)
	require.NoError(t, err)
	require.NotNil(t, m, "%s has no marker", dir)
	require.Equal(t, id, m.ID)
}

func TestThreeCapabilitiesAreEnough(t *testing.T) {
	t.Parallel()
	disk.Need(t)
	base := t.TempDir()
	require.NoError(t, os.Chmod(base, 0o700))
	run := func(capabilities ...uintptr) string {
		command := exec.CommandContext(t.Context(), "/proc/self/exe")
		command.Env = []string{childEnv + "=" + base}
		command.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: 65532, Gid: 65532}, AmbientCaps: capabilities,
		}
		output, err := command.CombinedOutput()
		if err != nil {
			t.Logf("%v: %s", err, output)
		}
		return string(output)
	}
	const chown, dacOverride, fowner = 0, 1, 3
	require.Contains(t, run(dacOverride, fowner), "operation not permitted", "CHOWN is needed")
	require.Equal(t, fmt.Sprintf("%d/%d\n", childDirectories, childDirectories), run(chown, dacOverride, fowner))
	var stat unix.Stat_t
	require.NoError(t, unix.Stat(filepath.Join(base, "ns/claim-0"), &stat))
	require.EqualValues(t, unix.S_IFDIR|unix.S_ISGID|0o770, stat.Mode)
	require.EqualValues(t, []uint32{1001, 1002}, []uint32{stat.Uid, stat.Gid})
}
