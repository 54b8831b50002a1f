package disk_test

import (
	"path"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/disk"
)

const (
	base    = "/mnt/data"
	claim   = "data-kafka-0"
	id      = "kafka/data-kafka-0"
	machine = "0123456789abcdef0123456789abcdef"
	uuid    = "5e0a6d5c-1111-4222-8333-444455556666"
	other   = "77777777-1111-4222-8333-444455556666"
	gib     = int64(1) << 30
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// given returns a state with one base path and one directory that does not exist.
func given(changes ...func(*disk.State)) disk.State {
	s := disk.State{
		Node: &v1.LocalVolumeNode{
			ObjectMeta: metav1.ObjectMeta{Name: "node-1", Generation: 3},
			Spec: v1.LocalVolumeNodeSpec{
				BasePaths: []string{base},
				Directories: []v1.DirectorySpec{{
					ID: id, BasePath: base, Path: claim, SetName: "kafka", SetUID: "set-uid", Create: true, Bytes: 5 * gib,
				}},
			},
		},
		MachineID: machine, AllowedBasePaths: []string{base}, Now: now, Results: map[disk.Key]disk.Result{},
		BasePaths: map[string]disk.BasePath{base: {
			Type: "xfs", UUID: uuid, FSID: "fsid-1", MountPoint: true, CapacityBytes: 100 * gib, AvailableBytes: 50 * gib,
			Directories: map[string]disk.Directory{claim: {Fault: disk.FaultMissing}},
		}},
	}
	for _, change := range changes {
		change(&s)
	}
	return s
}

func spec(change func(*v1.DirectorySpec)) func(*disk.State) {
	return func(s *disk.State) { change(&s.Node.Spec.Directories[0]) }
}

func observed(change func(*disk.BasePath)) func(*disk.State) {
	return func(s *disk.State) {
		b := s.BasePaths[base]
		change(&b)
		s.BasePaths[base] = b
	}
}

func directory(d disk.Directory) func(*disk.State) {
	return observed(func(b *disk.BasePath) { b.Directories[claim] = d })
}

// marked is a directory with the right marker.
func marked(changes ...func(*v1.DirectoryMarker)) func(*disk.State) {
	m := &v1.DirectoryMarker{ID: id, SetName: "kafka", SetUID: "set-uid", MachineID: machine, FileSystem: uuid}
	for _, change := range changes {
		change(m)
	}
	return directory(disk.Directory{Marker: m})
}

func before(status v1.LocalVolumeNodeStatus) func(*disk.State) {
	return func(s *disk.State) { s.Node.Status = status }
}

// reported is a directory that the agent has reported before. An empty id is one without a marker.
func reported(state v1.DirectoryState, marker, set string) func(*disk.State) {
	d := v1.DirectoryStatus{ID: id, State: state}
	if marker != "" {
		d.Marker = &v1.DirectoryMarker{ID: marker, SetName: set}
	}
	return before(v1.LocalVolumeNodeStatus{Directories: []v1.DirectoryStatus{d}})
}

func fileSystemBefore(change func(*v1.FileSystemStatus)) func(*disk.State) {
	f := v1.FileSystemStatus{
		BasePath: base, State: v1.FileSystemReady, Type: "xfs", ID: uuid, MountPoint: true, CapacityBytes: 100 * gib,
		AvailableBytes: 50 * gib,
	}
	if change != nil {
		change(&f)
	}
	return before(v1.LocalVolumeNodeStatus{FileSystems: []v1.FileSystemStatus{f}})
}

func wipe(change func(*v1.WipeSpec)) func(*disk.State) {
	return func(s *disk.State) {
		w := v1.WipeSpec{ID: "wipe-uid", BasePath: base, Path: claim, Marker: id}
		w.KeepFor.Duration = time.Hour
		if change != nil {
			change(&w)
		}
		s.Node.Spec.Directories = nil
		s.Node.Spec.Wipes = []v1.WipeSpec{w}
	}
}

// perform changes the state as the actions change the file systems.
func perform(s disk.State, plan disk.Plan) disk.State {
	for _, a := range plan.Actions {
		b := s.BasePaths[a.BasePath]
		d := b.Directories[a.Path]
		switch a.Kind {
		case disk.Create, disk.Mark:
			marker := a.Marker
			b.Directories[a.Path] = disk.Directory{Marker: &marker}
		case disk.Limit:
			d.Inherited, d.LimitBytes = false, (a.Directory.Bytes+511)/512*512
			for d.Project = 1; slices.Contains(a.Taken, d.Project); d.Project++ {
			}
			b.Directories[a.Path] = d
		case disk.Unlimit:
			d.LimitBytes = 0
			b.Directories[a.Path] = d
		case disk.Move:
			b.Directories[a.Path] = disk.Directory{Fault: disk.FaultMissing}
			uid, moved, _ := disk.ParseTrashName(path.Base(a.Target))
			if b.Trash == nil {
				b.Trash = map[typesUID]disk.Trash{}
			}
			b.Trash[uid] = disk.Trash{Path: a.Target, Moved: moved}
		case disk.Empty, disk.Forget:
			for uid, trash := range b.Trash {
				if trash.Path != a.Path {
					continue
				}
				if trash.Empty = true; a.Kind == disk.Forget {
					delete(b.Trash, uid)
					continue
				}
				b.Trash[uid] = trash
			}
		}
		s.BasePaths[a.BasePath] = b
	}
	return s
}
