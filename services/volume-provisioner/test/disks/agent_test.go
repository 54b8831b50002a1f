//go:build linux

package disks

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit/disk"
	"github.com/weir-dev/weir/services/volume-provisioner/test/testenv"
)

func TestAgentProcessReportsChangesOfMountsAtOnce(t *testing.T) {
	t.Parallel()
	e := newEnv(t, "xfs")
	kill := e.start(time.Hour)
	defer func() { kill() }()
	e.apply()
	e.WaitReady("s", "2/2", 0)
	ready := e.wait(v1.FileSystemReady, "2/2")
	require.True(t, ready.Status.FileSystems[0].MountPoint)
	info, err := os.Stat(filepath.Join(e.base, e.Namespace+"-0"))
	require.NoError(t, err)
	owner := info.Sys().(*syscall.Stat_t)
	require.Equal(t, []uint32{1001, 1001}, []uint32{owner.Uid, owner.Gid})

	// A new process writes nothing, because nothing has changed. It reports the next change of mounts.
	kill()
	kill = e.start(time.Hour)
	e.disk.Unmount(e.base)
	lost := e.wait(v1.FileSystemNotMounted, "0/2")
	entries, err := os.ReadDir(e.base)
	require.NoError(t, err)
	require.Empty(t, entries)
	require.Equal(t, e.Namespace+"/"+e.Namespace+"-0", lost.Status.Directories[0].Marker.ID)
	e.disk.Mount(e.base)
	e.wait(v1.FileSystemReady, "2/2")

	e.disk.ReadOnly(e.base, true)
	e.wait(v1.FileSystemReadOnly, "2/2")
	e.disk.ReadOnly(e.base, false)
	e.wait(v1.FileSystemReady, "2/2")
}

// failures are faults of the disk of a set. cause returns a function that repairs the disk.
var failures = []struct {
	name, condition, reason, message string
	cause                            func(e *env) (repair func())
}{
	{
		name: "read-only", condition: "DirectoriesReady", reason: "DirectoryFailed",
		message: "is read-only; check the kernel log",
		cause: func(e *env) func() {
			e.disk.ReadOnly(e.base, true)
			return func() { e.disk.ReadOnly(e.base, false) }
		},
	},
	{
		name: "not mounted", condition: "DirectoriesReady", reason: "DirectoryFailed", message: "is not mounted; mount it",
		cause: func(e *env) func() {
			e.disk.Unmount(e.base)
			return func() { e.disk.Mount(e.base) }
		},
	},
	{
		name: "full", condition: "CapacityOK", reason: "FileSystemFull", message: "has less than 2 % free space",
		cause: func(e *env) func() { return e.disk.Fill(e.base) },
	},
	{
		name: "I/O error", condition: "DirectoriesReady", reason: "DirectoryFailed",
		message: "; check the kernel log and the disk of the node",
		cause: func(e *env) func() {
			e.disk.Shutdown(e.base)
			return func() {
				e.disk.Unmount(e.base)
				e.disk.Mount(e.base)
			}
		},
	},
}

func TestFaultsOfDisksAreReportedByTheSetAndTheDataIsThereAfterTheRepair(t *testing.T) {
	t.Parallel()
	for _, fileSystem := range []string{"xfs", "ext4"} {
		t.Run(fileSystem, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, fileSystem)
			defer e.start(time.Second)()
			e.apply()
			claims := testenv.Claims(e.WaitReady("s", "2/2", 0))
			e.CreateClaims("1Mi", claims...)
			e.WaitReady("s", "2/2", 2)
			uids := map[string]string{}
			for _, claim := range claims {
				uids[claim] = string(e.PV(claim).UID)
				file := filepath.Join(e.PV(claim).Spec.Local.Path, "data")
				require.NoError(t, os.WriteFile(file, []byte(claim), 0o600))
			}
			syscall.Sync()
			for _, failure := range failures {
				repair := failure.cause(e)
				message := e.WaitCondition("s", failure.condition, metav1.ConditionFalse, failure.reason)
				require.Contains(t, message, failure.message, failure.name)
				require.Contains(t, message, e.base+" on node "+e.node, failure.name)
				for _, claim := range claims {
					require.Equal(t, corev1.VolumeBound, e.PV(claim).Status.Phase, failure.name)
				}
				repair()
				e.WaitCondition("s", "Ready", metav1.ConditionTrue, "VolumesReady")
			}
			// A claim that is deleted while the disk is missing does not bind before the directory is there again.
			e.disk.Unmount(e.base)
			e.WaitCondition("s", "DirectoriesReady", metav1.ConditionFalse, "DirectoryFailed")
			e.DeleteClaims(claims...)
			e.CreateClaims("1Mi", claims...)
			e.disk.Mount(e.base)
			e.WaitReady("s", "2/2", 2)
			for _, claim := range claims {
				pv := e.PV(claim)
				require.Equal(t, uids[claim], string(pv.UID))
				content, err := os.ReadFile(filepath.Join(pv.Spec.Local.Path, "data"))
				require.NoError(t, err)
				require.Equal(t, claim, string(content))
			}
		})
	}
}

func TestAnotherDiskAtTheBasePathIsNotUsed(t *testing.T) {
	t.Parallel()
	e, other := newEnv(t, "xfs"), disk.New(t, "ext4")
	defer e.start(time.Second)()
	e.apply()
	e.WaitReady("s", "2/2", 0)
	e.disk.Unmount(e.base)
	other.Mount(e.base)
	e.Eventually(func(context.Context) error {
		message := e.WaitCondition("s", "DirectoriesReady", metav1.ConditionFalse, "DirectoryFailed")
		if !strings.Contains(message, "mount that file system") {
			return errors.New(message)
		}
		return nil
	})
	require.NoDirExists(t, filepath.Join(e.base, e.Namespace+"-0"))
	other.Unmount(e.base)
	e.disk.Mount(e.base)
	e.WaitCondition("s", "Ready", metav1.ConditionTrue, "VolumesReady")
	require.DirExists(t, filepath.Join(e.base, e.Namespace+"-0"))
}
