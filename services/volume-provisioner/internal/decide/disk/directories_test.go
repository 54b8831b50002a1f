package disk_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	v1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/disk"
)

func TestDirectories(t *testing.T) {
	t.Parallel()
	empty, full := directory(disk.Directory{Empty: true}), directory(disk.Directory{})
	existed := spec(func(d *v1.DirectorySpec) { d.Create = false })
	adopt := spec(func(d *v1.DirectorySpec) { d.Adopt = true })
	xfs := spec(func(d *v1.DirectorySpec) { d.Quota = v1.QuotaXFS })
	enforced := observed(func(b *disk.BasePath) { b.Quota = true })
	readOnly := observed(func(b *disk.BasePath) { b.ReadOnly = true })
	limited := func(project uint32, inherited bool, limit int64) func(*disk.State) {
		return func(s *disk.State) {
			marked()(s)
			d := s.BasePaths[base].Directories[claim]
			d.Project, d.Inherited, d.LimitBytes = project, inherited, limit
			s.BasePaths[base].Directories[claim] = d
		}
	}
	fault := func(f disk.Fault) func(*disk.State) {
		return directory(disk.Directory{Fault: f, Detail: "kafka/data-kafka-9"})
	}
	for name, c := range map[string]struct {
		given   []func(*disk.State)
		action  disk.ActionKind
		state   v1.DirectoryState
		message string
	}{
		"a new directory is created":           {action: disk.Create, state: v1.DirectoryFailed},
		"a directory with its marker is ready": {given: []func(*disk.State){marked()}, state: v1.DirectoryReady},
		"an empty directory gets a marker": {
			given:  []func(*disk.State){empty},
			action: disk.Mark, state: v1.DirectoryFailed,
		},
		"an adopted directory gets a marker": {
			given:  []func(*disk.State){full, adopt},
			action: disk.Mark, state: v1.DirectoryFailed,
		},
		"an adopted directory may have existed": {
			given:  []func(*disk.State){full, adopt, existed},
			action: disk.Mark, state: v1.DirectoryFailed,
		},
		"data without a marker is not used": {
			given: []func(*disk.State){full},
			state: v1.DirectoryUnmarked, message: "set adoptExisting: Unmarked",
		},
		"a lost directory is not created again": {
			given: []func(*disk.State){existed},
			state: v1.DirectoryMissing, message: "restore it",
		},
		"a directory that was ready and is missing is lost, also before the controller has recorded it": {
			given: []func(*disk.State){reported(v1.DirectoryReady, id, "kafka")},
			state: v1.DirectoryMissing, message: "restore it",
		},
		"a directory that was ready and is empty is lost, also before the controller has recorded it": {
			given: []func(*disk.State){empty, reported(v1.DirectoryReady, id, "kafka")},
			state: v1.DirectoryMissing, message: "restore its contents",
		},
		"a lost directory stays lost before the controller has recorded it": {
			given: []func(*disk.State){reported(v1.DirectoryMissing, "", "")},
			state: v1.DirectoryMissing, message: "restore it",
		},
		"a directory that had the data of another set is created": {
			given:  []func(*disk.State){reported(v1.DirectoryConflict, id, "old")},
			action: disk.Create, state: v1.DirectoryFailed,
		},
		"a directory that had the data of another volume is created": {
			given:  []func(*disk.State){reported(v1.DirectoryConflict, "kafka/data-kafka-1", "kafka")},
			action: disk.Create, state: v1.DirectoryFailed,
		},
		"a directory that lost its data is lost": {
			given: []func(*disk.State){empty, existed},
			state: v1.DirectoryMissing, message: "restore its contents",
		},
		"the data of another volume is not used": {
			given: []func(*disk.State){marked(func(m *v1.DirectoryMarker) { m.ID = "kafka/data-kafka-1" }), adopt},
			state: v1.DirectoryConflict, message: "has the data of volume kafka/data-kafka-1 of set kafka",
		},
		"the data of another set is not used": {
			given: []func(*disk.State){marked(func(m *v1.DirectoryMarker) { m.SetName = "old" })},
			state: v1.DirectoryConflict, message: "of set old",
		},
		"a set that is created again matches": {
			given: []func(*disk.State){marked(func(m *v1.DirectoryMarker) { m.SetUID = "another" })},
			state: v1.DirectoryReady,
		},
		"an unreadable marker is a conflict": {
			given: []func(*disk.State){directory(disk.Directory{MarkerError: "not a marker"})},
			state: v1.DirectoryConflict, message: "not a marker; restore it",
		},
		"a symbolic link is refused": {
			given: []func(*disk.State){fault(disk.FaultSymlink)},
			state: v1.DirectoryInvalid, message: "symbolic link",
		},
		"a mount point is refused": {
			given: []func(*disk.State){fault(disk.FaultMountPoint)},
			state: v1.DirectoryInvalid, message: "unmount it",
		},
		"a file is refused": {
			given: []func(*disk.State){fault(disk.FaultNotDirectory)},
			state: v1.DirectoryInvalid, message: "is not a directory",
		},
		"a path in another volume is refused": {
			given: []func(*disk.State){fault(disk.FaultNested)},
			state: v1.DirectoryConflict, message: "in the directory of another volume (kafka/data-kafka-9)",
		},
		"an unreadable directory fails": {
			given: []func(*disk.State){fault(disk.FaultUnreadable)},
			state: v1.DirectoryFailed, message: "check the kernel log",
		},
		"nothing is created while read-only": {
			given: []func(*disk.State){readOnly},
			state: v1.DirectoryFailed, message: "mount it writable",
		},
		"a read-only directory is still found": {
			given: []func(*disk.State){readOnly, marked()},
			state: v1.DirectoryReady,
		},
		"a copy on another disk is not used": {
			given: []func(*disk.State){marked(func(m *v1.DirectoryMarker) { m.FileSystem = other })},
			state: v1.DirectoryWrongMachine, message: "is a copy on " + uuid,
		},
		"a copy that the controller expects": {
			given: []func(*disk.State){
				marked(func(m *v1.DirectoryMarker) { m.FileSystem = other }),
				spec(func(d *v1.DirectorySpec) { d.FileSystem = uuid }),
			},
			state: v1.DirectoryReady,
		},
		"a marker with the fsid of an old kernel": {
			given: []func(*disk.State){marked(func(m *v1.DirectoryMarker) { m.FileSystem = "fsid-1" })},
			state: v1.DirectoryReady,
		},
		"the disk of a reinstalled machine": {
			given: []func(*disk.State){
				marked(func(m *v1.DirectoryMarker) { m.MachineID = "old" }),
				spec(func(d *v1.DirectorySpec) { d.MachineID, d.FileSystem = "old", uuid }),
			},
			state: v1.DirectoryReady,
		},
		"another machine with the node's name": {
			given: []func(*disk.State){spec(func(d *v1.DirectorySpec) { d.MachineID = "old" })},
			state: v1.DirectoryWrongMachine, message: "another machine has the name of the node",
		},
		"a clone with another disk": {
			given: []func(*disk.State){
				marked(),
				spec(func(d *v1.DirectorySpec) { d.MachineID, d.FileSystem = machine, other }),
			},
			state: v1.DirectoryWrongMachine, message: "mount the expected file system",
		},
		"a path that leaves the base path": {
			given: []func(*disk.State){spec(func(d *v1.DirectorySpec) { d.Path = "../x" })},
			state: v1.DirectoryInvalid, message: "change pathPattern",
		},
		"the base path itself": {
			given: []func(*disk.State){spec(func(d *v1.DirectorySpec) { d.Path = "." })},
			state: v1.DirectoryInvalid, message: "change pathPattern",
		},
		"the trash of the agent": {
			given: []func(*disk.State){spec(func(d *v1.DirectorySpec) { d.Path = ".trash/x" })},
			state: v1.DirectoryInvalid, message: "change pathPattern",
		},
		"an absolute path": {
			given: []func(*disk.State){spec(func(d *v1.DirectorySpec) { d.Path = "/etc" })},
			state: v1.DirectoryInvalid, message: "change pathPattern",
		},
		"quota needs prjquota": {
			given: []func(*disk.State){marked(), xfs},
			state: v1.DirectoryFailed, message: "prjquota",
		},
		"quota is set": {
			given:  []func(*disk.State){marked(), xfs, enforced},
			action: disk.Limit, state: v1.DirectoryFailed,
		},
		"quota that is set is ready": {
			given: []func(*disk.State){limited(7, false, 5*gib), xfs, enforced},
			state: v1.DirectoryReady,
		},
		"another size is set": {
			given:  []func(*disk.State){limited(7, false, 4*gib), xfs, enforced},
			action: disk.Limit, state: v1.DirectoryFailed,
		},
		"the project of the base path is shared": {
			given:  []func(*disk.State){limited(7, true, 5*gib), xfs, enforced},
			action: disk.Limit, state: v1.DirectoryFailed,
		},
		"a limit without quota is removed": {
			given:  []func(*disk.State){limited(7, false, 5*gib), enforced},
			action: disk.Unlimit, state: v1.DirectoryReady,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := given(c.given...)
			plan := disk.Decide(s)
			status := plan.Status.Directories[0]
			require.Equal(t, c.state, status.State, status.Message)
			require.Contains(t, status.Message, c.message)
			if c.action == "" {
				require.Empty(t, plan.Actions)
				return
			}
			require.Len(t, plan.Actions, 1)
			action := plan.Actions[0]
			require.Equal(t, c.action, action.Kind)
			require.Equal(t, uuid, action.FileSystem)
			if action.Marker.ID != "" {
				require.Equal(t, v1.DirectoryMarker{
					ID: id, SetName: "kafka", SetUID: "set-uid", MachineID: machine, FileSystem: uuid,
				}, action.Marker)
			}
			// A failed action is reported, and not repeated in the same reconcile.
			s.Results[action.Key] = disk.Result{Error: "no space left on device"}
			plan = disk.Decide(s)
			require.Empty(t, plan.Actions)
			require.Contains(t, plan.Status.Directories[0].Message, "no space left on device")
			delete(s.Results, action.Key)
			after := disk.Decide(perform(s, disk.Decide(s)))
			require.Empty(t, after.Actions)
			require.Equal(t, v1.DirectoryReady, after.Status.Directories[0].State)
		})
	}
}

func TestOverlappingDirectoriesAreNotUsedTwice(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]struct{ base, path string }{
		"the same directory":                    {base, claim},
		"a directory in it":                     {base, claim + "/sub"},
		"a base path in it":                     {base + "/" + claim, "x"},
		"the same directory, another base path": {"/mnt", "data/" + claim},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := given(marked(), func(s *disk.State) {
				s.AllowedBasePaths = []string{"/mnt"}
				s.Node.Spec.Directories = append(s.Node.Spec.Directories, v1.DirectorySpec{
					ID: "kafka/second", BasePath: second.base, Path: second.path, Create: true, Adopt: true,
				})
				b := s.BasePaths[second.base]
				if b.Directories == nil {
					b = disk.BasePath{UUID: uuid, Directories: map[string]disk.Directory{}}
				}
				if _, seen := b.Directories[second.path]; !seen {
					b.Directories[second.path] = disk.Directory{Fault: disk.FaultMissing}
				}
				s.BasePaths[second.base] = b
			})
			plan := disk.Decide(s)
			require.Empty(t, plan.Actions)
			require.Equal(t, v1.DirectoryReady, plan.Status.Directories[0].State)
			require.Equal(t, v1.DirectoryConflict, plan.Status.Directories[1].State)
			require.Contains(t, plan.Status.Directories[1].Message, "overlaps with the directory of "+id)
		})
	}
}

func TestDirectoriesOfTheSameProjectGetTheirOwn(t *testing.T) {
	t.Parallel()
	s := given(observed(func(b *disk.BasePath) { b.Quota = true }), func(s *disk.State) {
		second := s.Node.Spec.Directories[0]
		second.ID, second.Path = "kafka/second", "second"
		s.Node.Spec.Directories = append(s.Node.Spec.Directories, second)
		for i, d := range s.Node.Spec.Directories {
			s.Node.Spec.Directories[i].Quota = v1.QuotaXFS
			s.BasePaths[base].Directories[d.Path] = disk.Directory{
				Marker:  &v1.DirectoryMarker{ID: d.ID, SetName: d.SetName, FileSystem: uuid},
				Project: 9, LimitBytes: 5 * gib,
			}
		}
	})
	plan := disk.Decide(s)
	require.Len(t, plan.Actions, 1)
	require.Equal(t, "second", plan.Actions[0].Path)
	require.Equal(t, []uint32{9}, plan.Actions[0].Taken)
}
