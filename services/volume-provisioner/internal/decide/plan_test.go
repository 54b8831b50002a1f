package decide_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decidetest"
)

func TestOnlyProgressOfVolumesThatAreBeingPreparedCanBeReportedLater(t *testing.T) {
	t.Parallel()
	progress := map[string]bool{}
	w := decidetest.New("a", "b")
	set := w.AddSet(t, small)
	note := func(name string) {
		s := w.Observe(set)
		plan := decide.Set(s)
		progress[name] = plan.StatusChanged(s) && plan.Progress(s)
	}
	// The agents report the base path first.
	w.Step(t)
	note("placement")
	w.Step(t)
	note("the directories are ready and the PersistentVolumes are created")
	ready := w.Agents["a"].Status.Directories
	w.Agents["a"].Status.Directories = nil
	note("some directories are ready")
	broken := slices.Clone(ready)
	broken[0].State = storagev1alpha1.DirectoryMissing
	w.Agents["a"].Status.Directories = broken
	note("a directory failed")
	w.Agents["a"].Status.Directories = ready
	set.Generation++
	note("another generation")
	w.Step(t)
	note("all volumes are available")
	w.Settle(t)
	w.Claim("default", "data-0", "10Gi")
	w.Bind()
	note("a claim is bound")
	require.Equal(t, map[string]bool{
		"placement": false, "the directories are ready and the PersistentVolumes are created": true,
		"some directories are ready": true, "a directory failed": false, "another generation": false,
		"all volumes are available": false, "a claim is bound": false,
	}, progress)
}

func TestOnlyANewSetAwaitsTheFirstReportOfAgents(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a")
	set := w.AddSet(t, small)
	waits := func() bool {
		s := w.Observe(set)
		plan := decide.Set(s)
		decided := &storagev1alpha1.KafkaLocalVolumeSet{Status: plan.Status}
		require.Equal(t, "WaitingForAgents", condition(decided, "Ready").Reason)
		return plan.AwaitsReport(s)
	}
	require.True(t, waits())
	set.Status.ObservedGeneration = set.Generation + 1
	require.False(t, waits(), "its status tells it")
	w.Settle(t)
	s := w.Observe(set)
	set.Status.ObservedGeneration = 0
	require.False(t, decide.Set(s).AwaitsReport(s), "its volumes are ready")
}

func TestEventsTellOfProblemsAndOfTheirEndButNotOfOrdinaryProgress(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a")
	set := w.AddSet(t, small)
	var found []string
	step := func() {
		for range 3 {
			for _, e := range decide.Set(w.Observe(set)).Events {
				found = append(found, e.Type+" "+e.Reason)
			}
			w.Step(t)
		}
	}
	for range 3 {
		step()
	}
	require.Equal(t, "True", string(condition(set, "Ready").Status))
	require.Empty(t, found, "a set that becomes ready without a problem")
	node := w.Nodes["a"]
	delete(w.Nodes, "a")
	step()
	w.Nodes["a"] = node
	step()
	require.Equal(t, []string{"Warning NodeDeleted", "Normal VolumesReady"}, found)
}

// Otherwise the directory would count as lost after the wipe, and would not be created again.
func TestDataIsNotWipedBeforeItsSetHasRecordedThatTheDirectoryMayBeCreatedAgain(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a")
	set := w.AddSet(t, small)
	w.Settle(t)
	wipe := w.AddWipe("data-0", w.PVs["data-0"].UID, "/mnt/data/data-0")
	wipe.Status = storagev1alpha1.VolumeWipeStatus{State: storagev1alpha1.WipeAccepted, Node: "a"}
	delete(w.PVs, "data-0")
	work := func() storagev1alpha1.LocalVolumeNodeSpec {
		return decide.Node(&decide.NodeState{
			Agent: w.Agents["a"], Node: w.Nodes["a"], Sets: []*storagev1alpha1.KafkaLocalVolumeSet{set}, Wipes: w.Wipes,
			Settings: w.Settings,
		})
	}
	require.Empty(t, work().Wipes)
	require.Len(t, work().Directories, 3)
	s := w.Observe(set)
	plan := decide.Set(s)
	require.False(t, plan.Progress(s), "the status is written at once")
	set.Status = plan.Status
	require.Empty(t, volume(set, "data-0").Marker)
	require.Len(t, work().Wipes, 1)
	require.Len(t, work().Directories, 2)
}

func TestVolumeOfARemovedReplicaIsEmptyAfterAWipeAndAScaleUp(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a")
	set := w.AddSet(t, small)
	w.Settle(t)
	set.Spec.Replicas = 2
	w.Settle(t)
	wipe := w.AddWipe("data-2", w.PVs["data-2"].UID, "/mnt/data/data-2")
	w.SettleWipes(t)
	require.Equal(t, storagev1alpha1.WipeDone, wipe.Status.State)
	set.Spec.Replicas = 3
	w.Settle(t)
	require.Equal(t, "3/3", set.Status.Ready, "%+v", volume(set, "data-2"))
}
