package disk_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"

	v1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/disk"
)

func TestFileSystems(t *testing.T) {
	t.Parallel()
	fault := func(f disk.Fault) func(*disk.State) {
		return func(s *disk.State) { s.BasePaths[base] = disk.BasePath{Fault: f, Detail: "input/output error"} }
	}
	unmounted := observed(func(b *disk.BasePath) { b.MountPoint, b.UUID = false, other })
	for name, c := range map[string]struct {
		given   []func(*disk.State)
		state   v1.FileSystemState
		message string
	}{
		"a new base path is ready": {state: v1.FileSystemReady},
		"the same file system is ready": {
			given: []func(*disk.State){fileSystemBefore(nil)},
			state: v1.FileSystemReady,
		},
		"the id of an old kernel still matches": {
			given: []func(*disk.State){fileSystemBefore(func(f *v1.FileSystemStatus) { f.ID = "fsid-1" })},
			state: v1.FileSystemReady,
		},
		"a base path that is not allowed": {
			given: []func(*disk.State){func(s *disk.State) { s.AllowedBasePaths = []string{"/srv", "/mnt/dat"} }},
			state: v1.FileSystemNotAllowed, message: "--allowed-base-paths=/srv,/mnt/dat",
		},
		"a base path that does not exist": {
			given: []func(*disk.State){fault(disk.FaultMissing)},
			state: v1.FileSystemMissing, message: "create it",
		},
		"a symbolic link": {
			given: []func(*disk.State){fault(disk.FaultSymlink)},
			state: v1.FileSystemInvalid, message: "use the path that it points to",
		},
		"a file": {
			given: []func(*disk.State){fault(disk.FaultNotDirectory)},
			state: v1.FileSystemInvalid, message: "is not a directory",
		},
		"a base path in a volume": {
			given: []func(*disk.State){fault(disk.FaultNested)},
			state: v1.FileSystemInvalid, message: "in the directory of a volume",
		},
		"a failed disk": {
			given: []func(*disk.State){fault(disk.FaultIO), fileSystemBefore(nil)},
			state: v1.FileSystemError, message: "input/output error",
		},
		"a disk that was unmounted": {
			given:   []func(*disk.State){fileSystemBefore(nil), unmounted},
			state:   v1.FileSystemNotMounted,
			message: "mount it. If the disk was removed on purpose, run: kubectl delete localvolumenode node-1",
		},
		"another disk at the same path": {
			given: []func(*disk.State){
				fileSystemBefore(nil),
				observed(func(b *disk.BasePath) { b.UUID = other; b.FSID = "" }),
			},
			state: v1.FileSystemChanged, message: "is on file system " + other + " and was on " + uuid,
		},
		"a read-only disk": {
			given: []func(*disk.State){observed(func(b *disk.BasePath) { b.ReadOnly = true })},
			state: v1.FileSystemReadOnly, message: "mount it writable",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := given(c.given...)
			plan := disk.Decide(s)
			f := plan.Status.FileSystems[0]
			require.Equal(t, c.state, f.State, f.Message)
			require.Contains(t, f.Message, c.message)
			ready := meta.FindStatusCondition(plan.Status.Conditions, v1.ConditionReady)
			require.NotNil(t, ready)
			require.EqualValues(t, 3, ready.ObservedGeneration)
			if c.state == v1.FileSystemReady {
				return
			}
			require.Equal(t, string(v1.NodeReasonFileSystem), ready.Reason)
			require.Equal(t, f.Message, ready.Message)
			require.Empty(t, plan.Actions, "nothing is changed on a file system that is not ready")
			require.Equal(t, v1.DirectoryFailed, plan.Status.Directories[0].State)
			if len(s.Node.Status.FileSystems) > 0 {
				require.Equal(t, uuid, f.ID, "the agent remembers the file system")
				require.True(t, f.MountPoint)
			}
		})
	}
}

func TestUnreachableDirectoriesKeepTheirMarker(t *testing.T) {
	t.Parallel()
	s := given(marked(), fileSystemBefore(nil))
	s.Node.Status = disk.Decide(s).Status
	s.BasePaths[base] = disk.BasePath{Fault: disk.FaultIO}
	status := disk.Decide(s).Status
	require.Equal(t, v1.DirectoryFailed, status.Directories[0].State)
	require.Equal(t, id, status.Directories[0].Marker.ID)
	require.Equal(t, uuid, status.Directories[0].FileSystem)
}

func TestStatusChangesOnlyIfFreeSpaceChangesByMoreThanOnePercent(t *testing.T) {
	t.Parallel()
	s := given(marked())
	s.Node.Status = disk.Decide(s).Status
	s.Now = now.Add(time.Hour)
	for available, changed := range map[int64]bool{50 * gib: false, 49 * gib: false, 51 * gib: false, 48 * gib: true} {
		observed(func(b *disk.BasePath) { b.AvailableBytes = available })(&s)
		require.Equal(t, changed, !equal(s.Node.Status, disk.Decide(s).Status), "%d", available>>30)
	}
	require.Equal(t, "50Gi", s.Node.Status.Available)
	require.Equal(t, "1/1", s.Node.Status.Ready)
}

// Without this, a file system could have less than two percent of free space while the reported value is up to one
// percent larger, and not count as full.
func TestAFileSystemThatBecomesFullIsReportedAtOnceAndStaysFullUntilItHasOnePercentMore(t *testing.T) {
	t.Parallel()
	s := given(marked())
	for _, step := range []struct {
		available, reported int64
		full                bool
	}{
		{available: 2600, reported: 2600},
		{available: 2000, reported: 2600},
		{available: 1999, reported: 1999, full: true},
		{available: 2100, reported: 1999, full: true},
		{available: 2999, reported: 1999, full: true},
		{available: 1200, reported: 1999, full: true},
		{available: 900, reported: 900, full: true},
		{available: 1950, reported: 1950, full: true},
		{available: 2951, reported: 2951},
		{available: 50_000, reported: 50_000},
	} {
		observed(func(b *disk.BasePath) { b.CapacityBytes, b.AvailableBytes = 100_000, step.available })(&s)
		s.Node.Status = disk.Decide(s).Status
		f := s.Node.Status.FileSystems[0]
		require.Equal(t, step.reported, f.AvailableBytes, "%+v", step)
		require.Equal(t, step.full, disk.Full(f.AvailableBytes, f.CapacityBytes), "%+v", step)
	}
}

func TestUnknownDirectoriesWithMarkersAreReported(t *testing.T) {
	t.Parallel()
	stray := disk.Found{Path: "old", Marker: v1.DirectoryMarker{ID: "kafka/old"}}
	s := given(marked(), observed(func(b *disk.BasePath) {
		b.Found = []disk.Found{{Path: claim, Marker: v1.DirectoryMarker{ID: id}}, stray}
	}))
	s.Node.Status = disk.Decide(s).Status
	want := []v1.FoundDirectory{{BasePath: base, Path: "old", Marker: stray.Marker, FileSystem: uuid}}
	require.Equal(t, want, s.Node.Status.Found)
	s.BasePaths[base] = disk.BasePath{Fault: disk.FaultIO}
	require.Equal(t, want, disk.Decide(s).Status.Found, "an unreachable disk keeps its directories")
}
