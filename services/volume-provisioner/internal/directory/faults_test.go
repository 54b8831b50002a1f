//go:build linux

package directory_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/disk"
)

// onDisks runs a test on XFS and on ext4, with a mounted disk and an agent with one directory that is ready.
func onDisks(t *testing.T, test func(t *testing.T, d *disk.Disk, base string, a *agent)) {
	for _, name := range []string{"xfs", "ext4"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := t.TempDir()
			d := disk.New(t, name)
			d.Mount(base)
			a := newAgent(base).add("one")
			a.ready(t)
			require.True(t, a.node.Status.FileSystems[0].MountPoint)
			a.node.Spec.Directories[0].Create = false
			test(t, d, base, a)
		})
	}
}

func TestUnmountedDiskIsNotReplacedByItsMountPoint(t *testing.T) {
	t.Parallel()
	onDisks(t, func(t *testing.T, d *disk.Disk, base string, a *agent) {
		d.Unmount(base)
		a.add("two")
		s := a.requireState(t, v1.FileSystemNotMounted, v1.DirectoryFailed)
		require.Equal(t, "kafka/one", s.Directories[0].Marker.ID)
		entries, err := os.ReadDir(base)
		require.NoError(t, err)
		require.Empty(t, entries, "nothing is created below the mount point")
		d.Mount(base)
		a.ready(t)
	})
}

func TestAnotherDiskAtTheSamePathIsNotUsed(t *testing.T) {
	t.Parallel()
	onDisks(t, func(t *testing.T, d *disk.Disk, base string, a *agent) {
		second := disk.New(t, d.Type)
		second.Mount(base)
		s := a.add("two").requireState(t, v1.FileSystemChanged, v1.DirectoryFailed)
		require.Contains(t, s.FileSystems[0].Message, "kubectl delete localvolumenode node-1")
		require.NoDirExists(t, filepath.Join(base, "two"))
		// The administrator accepts the new disk. Only the new volume is created there.
		a.node.Status = v1.LocalVolumeNodeStatus{}
		s = a.sync(t.Context())
		require.Equal(t, v1.FileSystemReady, s.FileSystems[0].State)
		require.Equal(t, v1.DirectoryMissing, s.Directories[0].State)
		require.Equal(t, v1.DirectoryReady, s.Directories[1].State)
		second.Unmount(base)
		a.requireState(t, v1.FileSystemChanged, v1.DirectoryFailed)
	})
}

func TestReadOnlyDiskIsReportedAndRecovers(t *testing.T) {
	t.Parallel()
	onDisks(t, func(t *testing.T, d *disk.Disk, base string, a *agent) {
		d.ReadOnly(base, true)
		a.requireState(t, v1.FileSystemReadOnly, v1.DirectoryReady)
		s := a.add("two").sync(t.Context())
		require.Equal(t, v1.DirectoryFailed, s.Directories[1].State)
		require.Contains(t, s.Directories[1].Message, "mount it writable")
		d.ReadOnly(base, false)
		a.ready(t)
	})
}

func TestFailedDiskIsReported(t *testing.T) {
	t.Parallel()
	onDisks(t, func(t *testing.T, d *disk.Disk, base string, a *agent) {
		d.Shutdown(base)
		s := a.requireState(t, v1.FileSystemError, v1.DirectoryFailed)
		require.Equal(t, "kafka/one", s.Directories[0].Marker.ID)
		require.Contains(t, s.FileSystems[0].Message, "check the kernel log")
		d.Unmount(base)
		d.Mount(base)
		a.ready(t)
	})
}

func TestFullDiskFailsOnlyNewDirectories(t *testing.T) {
	t.Parallel()
	onDisks(t, func(t *testing.T, d *disk.Disk, base string, a *agent) {
		release := d.Fill(base)
		// Inodes and small files may still find room.
		for i := range 2000 {
			if os.WriteFile(filepath.Join(base, fmt.Sprint("small-", i)), make([]byte, 4096), 0o600) != nil {
				break
			}
		}
		s := a.add("two").sync(t.Context())
		require.Equal(t, v1.FileSystemReady, s.FileSystems[0].State)
		require.Zero(t, s.FileSystems[0].AvailableBytes>>20)
		require.Equal(t, v1.DirectoryReady, s.Directories[0].State)
		if s.Directories[1].State != v1.DirectoryReady {
			require.Contains(t, s.Directories[1].Message, "no space left on device")
			require.NoDirExists(t, filepath.Join(base, "two"))
		}
		t.Logf("on the full disk the new directory is %s", s.Directories[1].State)
		release()
		a.ready(t)
	})
}

func TestDiskThatDoesNotAnswerDelaysNoOther(t *testing.T) {
	t.Parallel()
	disk.Need(t)
	fine, stuck := t.TempDir(), t.TempDir()
	a := newAgent(fine).add("one")
	a.allowed = append(a.allowed, stuck)
	a.node.Spec.BasePaths = append(a.node.Spec.BasePaths, stuck)
	// Long enough for the other disk on a busy machine.
	a.host.Timeout = 2 * time.Second
	// A FUSE file system without a server does not answer.
	connection, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		testkit.Skip(t, "the kernel has no FUSE: "+err.Error())
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", connection.Fd())
	require.NoError(t, unix.Mount("stuck", stuck, "fuse", 0, options))
	t.Cleanup(func() { _ = unix.Unmount(stuck, unix.MNT_DETACH) })
	started := time.Now()
	s := a.sync(t.Context())
	require.Less(t, time.Since(started), 5*a.host.Timeout)
	require.Equal(t, v1.DirectoryReady, s.Directories[0].State, s.Directories[0].Message)
	require.Equal(t, v1.FileSystemError, s.FileSystems[1].State)
	require.Contains(t, s.FileSystems[1].Message, "does not answer")
	// The end of the connection wakes up what waits.
	require.NoError(t, connection.Close())
	testkit.Eventually(t, 30*time.Second, func(ctx context.Context) error {
		if s := a.sync(ctx); s.FileSystems[1].Message == "" || s.FileSystems[1].State != v1.FileSystemError {
			return fmt.Errorf("the base path is %s", s.FileSystems[1].State)
		}
		return nil
	})
}

func TestWipedDirectoryIsMovedAndRemoved(t *testing.T) {
	t.Parallel()
	onDisks(t, func(t *testing.T, _ *disk.Disk, base string, a *agent) {
		require.NoError(t, os.WriteFile(filepath.Join(base, "one/log"), make([]byte, 1<<20), 0o600))
		require.NoError(t, os.Symlink("/etc", filepath.Join(base, "one/link")))
		a.node.Spec.Directories = nil
		a.node.Spec.Wipes = []v1.WipeSpec{{
			ID: "wipe-uid", BasePath: base, Path: "one", Marker: "kafka/one", KeepFor: metav1.Duration{Duration: time.Hour},
		}}
		s := a.sync(t.Context())
		require.Equal(t, v1.WipeMoved, s.Wipes[0].State, s.Wipes[0].Message)
		require.NoDirExists(t, filepath.Join(base, "one"))
		kept, err := filepath.Glob(filepath.Join(base, ".trash/*-wipe-uid/log"))
		require.NoError(t, err)
		require.Len(t, kept, 1)
		a.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
		testkit.Eventually(t, 10*time.Second, func(ctx context.Context) error {
			if s = a.sync(ctx); s.Wipes[0].State != v1.WipeDone {
				return errors.New(s.Wipes[0].Message)
			}
			return nil
		})
		require.GreaterOrEqual(t, s.Wipes[0].FreedBytes, int64(1<<20))
		require.NoFileExists(t, kept[0])
		// A directory that is created at the same path is not deleted.
		a.add("one").ready(t)
		a.node.Spec.Wipes = nil
		a.ready(t)
		left, err := os.ReadDir(filepath.Join(base, ".trash"))
		require.NoError(t, err)
		require.Empty(t, left)
	})
}
