package disk_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/disk"
)

type typesUID = types.UID

func TestWipes(t *testing.T) {
	t.Parallel()
	trash := func(moved time.Time, empty bool) func(*disk.State) {
		return observed(func(b *disk.BasePath) {
			b.Trash = map[types.UID]disk.Trash{
				"wipe-uid": {Path: ".trash/" + disk.TrashName("wipe-uid", moved), Moved: moved, Empty: empty},
			}
		})
	}
	was := func(state v1.WipeState) func(*disk.State) {
		return before(v1.LocalVolumeNodeStatus{Wipes: []v1.WipeStatus{{ID: "wipe-uid", State: state, FreedBytes: 7}}})
	}
	recreated := func(s *disk.State) {
		s.Node.Spec.Directories = given().Node.Spec.Directories
	}
	for name, c := range map[string]struct {
		given   []func(*disk.State)
		action  disk.ActionKind
		state   v1.WipeState
		message string
	}{
		"the directory is moved first": {
			given:  []func(*disk.State){marked()},
			action: disk.Move, state: v1.WipePending,
		},
		"a moved directory is kept for an hour": {
			given: []func(*disk.State){trash(now.Add(-time.Minute), false)},
			state: v1.WipeMoved, message: "removed after 2026-01-02T04:03:05Z",
		},
		"then its contents are removed": {
			given:  []func(*disk.State){trash(now.Add(-time.Hour), false)},
			action: disk.Empty, state: v1.WipeMoved,
		},
		"an empty directory is done": {
			given: []func(*disk.State){trash(now.Add(-time.Hour), true)},
			state: v1.WipeDone,
		},
		"a directory that does not exist is done": {state: v1.WipeDone, message: "does not exist"},
		"a directory created later is not deleted": {
			given: []func(*disk.State){marked(), trash(now.Add(-time.Hour), true), recreated},
			state: v1.WipeDone,
		},
		"not even if the trash was cleaned by hand": {
			given: []func(*disk.State){marked(), was(v1.WipeDone), recreated},
			state: v1.WipeDone,
		},
		"a recovered directory is not deleted": {
			given: []func(*disk.State){marked(), was(v1.WipeMoved)},
			state: v1.WipeRefused, message: "moved by hand",
		},
		"the data of another volume is not deleted": {
			given: []func(*disk.State){marked(func(m *v1.DirectoryMarker) { m.ID = "kafka/other" })},
			state: v1.WipeFailed, message: "kafka/other and not of " + id,
		},
		"data without a marker is not deleted": {
			given: []func(*disk.State){directory(disk.Directory{})},
			state: v1.WipeFailed, message: "by hand",
		},
		"a symbolic link is not followed": {
			given: []func(*disk.State){directory(disk.Directory{Fault: disk.FaultSymlink})},
			state: v1.WipeFailed, message: "symbolic link",
		},
		"a read-only disk waits": {
			given: []func(*disk.State){marked(), observed(func(b *disk.BasePath) { b.ReadOnly = true })},
			state: v1.WipePending, message: "read-only",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := given(append([]func(*disk.State){wipe(nil)}, c.given...)...)
			plan := disk.Decide(s)
			status := plan.Status.Wipes[0]
			require.Equal(t, c.state, status.State, status.Message)
			require.Contains(t, status.Message, c.message)
			if c.action == "" {
				require.Empty(t, plan.Actions)
				return
			}
			require.Len(t, plan.Actions, 1)
			require.Equal(t, c.action, plan.Actions[0].Kind)
			s.Results[plan.Actions[0].Key] = disk.Result{Error: "input/output error"}
			failed := disk.Decide(s)
			require.Contains(t, failed.Status.Wipes[0].Message, "input/output error")
			require.Equal(t, string(v1.NodeReasonWipe), failed.Status.Conditions[0].Reason)
		})
	}
}

func TestWipeFromStartToEnd(t *testing.T) {
	t.Parallel()
	s := given(marked(), wipe(nil))
	next := func() {
		plan := disk.Decide(s)
		s = perform(s, plan)
		s.Node.Status = plan.Status
	}
	next()
	plan := disk.Decide(s)
	require.Equal(t, v1.WipeMoved, plan.Status.Wipes[0].State)
	require.Equal(t, time.Hour, plan.Requeue)
	s.Now = now.Add(time.Hour)
	next()
	s.Results[disk.Key{Kind: disk.Empty, BasePath: base, Path: s.BasePaths[base].Trash["wipe-uid"].Path}] =
		disk.Result{FreedBytes: 42}
	next()
	require.Equal(t, v1.WipeDone, s.Node.Status.Wipes[0].State)
	require.EqualValues(t, 42, s.Node.Status.Wipes[0].FreedBytes)
	s.Node.Spec.Wipes = nil
	next()
	require.Empty(t, s.BasePaths[base].Trash)
}

func TestDataOfARemovedVolumeWipeIsKept(t *testing.T) {
	t.Parallel()
	s := given(marked(), observed(func(b *disk.BasePath) {
		b.Trash = map[types.UID]disk.Trash{"gone": {Path: ".trash/1-gone", Moved: time.Unix(1, 0)}}
	}))
	require.Empty(t, disk.Decide(s).Actions)
}

func TestDirectoryIsNotUsedBeforeItsWipeHasMovedIt(t *testing.T) {
	t.Parallel()
	s := given(marked(), wipe(nil), func(s *disk.State) { s.Node.Spec.Directories = given().Node.Spec.Directories })
	plan := disk.Decide(s)
	require.Equal(t, v1.DirectoryFailed, plan.Status.Directories[0].State)
	require.Len(t, plan.Actions, 1)
	after := disk.Decide(perform(s, plan))
	require.Equal(t, disk.Create, after.Actions[0].Kind)
}

func TestTrashNames(t *testing.T) {
	t.Parallel()
	uid, moved, ok := disk.ParseTrashName(disk.TrashName("a-b-c", now))
	require.True(t, ok && moved.Equal(now))
	require.EqualValues(t, "a-b-c", uid)
	for _, name := range []string{"", "x", "1", "1-", "-x", "x-1"} {
		_, _, ok := disk.ParseTrashName(name)
		require.False(t, ok, name)
	}
}
