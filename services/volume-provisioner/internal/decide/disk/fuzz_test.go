package disk_test

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	v1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/disk"
)

func equal(a, b any) bool { return equality.Semantic.DeepEqual(a, b) }

// FuzzDecide decides until there are no actions, and checks that this ends, that nothing is done on a file system that
// is not ready, that no directory with a marker is created or marked, and that the status is stable afterwards.
func FuzzDecide(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte{0, 0, 0, 255, 128, 64, 32, 16, 8, 4, 2, 1, 77, 33, 99, 200, 201, 202})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := scenario(&source{data})
		for round := 0; ; round++ {
			plan := disk.Decide(s)
			check(t, s, plan)
			if len(plan.Actions) == 0 {
				s.Node.Status = plan.Status
				break
			}
			if round > 8 {
				t.Fatalf("the actions do not end: %+v", plan.Actions)
			}
			s = perform(s, plan)
		}
		if again := disk.Decide(s); !equal(again.Status, s.Node.Status) || len(again.Actions) > 0 {
			t.Fatalf("the status is not stable:\n%+v\n%+v", s.Node.Status, again)
		}
	})
}

func check(t *testing.T, s disk.State, plan disk.Plan) {
	states := map[string]v1.FileSystemState{}
	for _, f := range plan.Status.FileSystems {
		states[f.BasePath] = f.State
		if f.State != v1.FileSystemReady && f.Message == "" {
			t.Fatalf("no message: %+v", f)
		}
	}
	for _, a := range plan.Actions {
		if states[a.BasePath] != v1.FileSystemReady || a.FileSystem != s.BasePaths[a.BasePath].ID() {
			t.Fatalf("%s on a file system that is %s", a.Kind, states[a.BasePath])
		}
		d := s.BasePaths[a.BasePath].Directories[a.Path]
		if (a.Kind == disk.Create || a.Kind == disk.Mark) && (d.Marker != nil || d.MarkerError != "") {
			t.Fatalf("%s replaces a marker: %+v", a.Kind, d)
		}
		if a.Kind == disk.Mark && !d.Empty && !a.Directory.Adopt {
			t.Fatalf("data is adopted without permission: %+v", a)
		}
		if a.Kind == disk.Move && d.Marker.ID != a.ID {
			t.Fatalf("the data of another volume is deleted: %+v", a)
		}
	}
	for _, d := range plan.Status.Directories {
		if d.State == v1.DirectoryReady && (d.Marker == nil || d.Marker.ID != d.ID) {
			t.Fatalf("ready without its marker: %+v", d)
		}
		if d.State != v1.DirectoryReady && d.Message == "" {
			t.Fatalf("no message: %+v", d)
		}
	}
}

type source struct{ data []byte }

func (s *source) next(n int) int {
	if len(s.data) == 0 {
		return 0
	}
	b := int(s.data[0])
	s.data = s.data[1:]
	return b % n
}

func (s *source) flip() bool { return s.next(2) == 1 }

func (s *source) pick(values ...string) string { return values[s.next(len(values))] }

func scenario(r *source) disk.State {
	s := given()
	s.Node.Spec.BasePaths = nil
	s.Node.Spec.Directories = nil
	for range r.next(5) {
		n := r.next(3)
		s.Node.Spec.Directories = append(s.Node.Spec.Directories, v1.DirectorySpec{
			ID: fmt.Sprint("kafka/", len(s.Node.Spec.Directories)), BasePath: r.pick(base, "/mnt/data/b", "/srv"),
			Path: r.pick(fmt.Sprint(n), fmt.Sprint("x/", n)), SetName: "kafka", Create: r.flip(), Adopt: r.flip(),
			MachineID: r.pick("", machine, "old"), FileSystem: r.pick("", uuid, other),
			Quota: v1.QuotaType(r.pick("None", "XFS")), Bytes: int64(r.next(9)) * 100,
		})
	}
	for i := range r.next(3) {
		s.Node.Spec.Wipes = append(s.Node.Spec.Wipes, v1.WipeSpec{
			ID: typesUID(fmt.Sprint("w", i)), BasePath: base, Path: r.pick("0", "1", "x/0"),
			Marker: r.pick("kafka/0", "kafka/1"),
		})
		s.Node.Spec.Wipes[i].KeepFor.Duration = time.Duration(r.next(2)) * time.Hour
	}
	for _, p := range disk.BasePaths(s.Node.Spec) {
		b := disk.BasePath{
			UUID: r.pick(uuid, other), MountPoint: r.flip(), ReadOnly: r.next(8) == 1, Quota: r.flip(),
			Fault:         disk.Fault(r.pick("", "", "", "Missing", "IO")),
			CapacityBytes: 100 * gib, AvailableBytes: int64(r.next(100)) * gib,
			Directories: map[string]disk.Directory{}, Trash: map[typesUID]disk.Trash{},
		}
		for _, name := range []string{"0", "1", "2", "x/0", "x/1", "x/2"} {
			d := disk.Directory{Fault: disk.Fault(r.pick("", "", "Missing", "Missing", "Symlink", "MountPoint"))}
			if d.Fault == "" {
				d.Empty, d.Project, d.LimitBytes = r.flip(), uint32(r.next(3)), int64(r.next(3))*512
				switch r.next(4) {
				case 0:
					d.MarkerError = "not a marker"
				case 1, 2:
					d.Marker = &v1.DirectoryMarker{
						ID: fmt.Sprint("kafka/", r.next(4)), SetName: "kafka", FileSystem: r.pick("", uuid, other),
					}
				}
			}
			b.Directories[name] = d
		}
		if r.flip() {
			moved := now.Add(-time.Duration(r.next(3)) * time.Hour)
			b.Trash["w0"] = disk.Trash{Path: ".trash/1-w0", Moved: moved, Empty: r.flip()}
		}
		s.BasePaths[p] = b
		if r.flip() {
			s.Node.Status.FileSystems = append(s.Node.Status.FileSystems, v1.FileSystemStatus{
				BasePath: p, ID: r.pick(uuid, other), MountPoint: r.flip(), State: v1.FileSystemReady,
			})
		}
	}
	return s
}
