package reconcile

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	weirfake "github.com/weir-dev/weir/generated/clientset/versioned/fake"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/placement"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// cachesOf returns caches with objects, which are not watched.
func cachesOf(t *testing.T, sets ...*storagev1alpha1.KafkaLocalVolumeSet) *caches {
	t.Helper()
	c, err := newCaches(fake.NewClientset(), weirfake.NewClientset(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	for _, set := range sets {
		require.NoError(t, c.sets.GetIndexer().Add(set))
	}
	return c
}

// placedSet returns a set whose replicas are on nodes. An empty name is a replica without a node.
func placedSet(namespace, name string, nodes ...string) *storagev1alpha1.KafkaLocalVolumeSet {
	set := &storagev1alpha1.KafkaLocalVolumeSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	set.Spec = storagev1alpha1.KafkaLocalVolumeSetSpec{
		Replicas: int32(len(nodes)), BasePath: "/mnt/data",
		Templates: []storagev1alpha1.VolumeTemplate{{
			Name: "data", ClaimNamePattern: name + "-{ordinal}", Size: resource.MustParse("1Gi"),
		}},
	}
	for i, v := range spec.Volumes(set) {
		phase := storagev1alpha1.PhasePreparing
		if nodes[i] == "" {
			phase = storagev1alpha1.PhaseUnplaced
		}
		set.Status.Volumes = append(set.Status.Volumes, storagev1alpha1.LocalVolumeStatus{
			Claim: v.Claim, Ordinal: v.Ordinal, Node: nodes[i], Path: v.Directory(), PV: v.Claim, Phase: phase,
		})
	}
	return set
}

func TestChangesOfALocalVolumeNodeReconcileTheSetsThatDependOnThem(t *testing.T) {
	t.Parallel()
	c := cachesOf(t, placedSet("x", "a", "n", "m"), placedSet("x", "b", "n"), placedSet("x", "c", "m"),
		placedSet("x", "waits", ""))
	ready := func(ids ...string) []storagev1alpha1.DirectoryStatus {
		var all []storagev1alpha1.DirectoryStatus
		for _, id := range ids {
			all = append(all, storagev1alpha1.DirectoryStatus{ID: id, State: storagev1alpha1.DirectoryReady,
				Marker: &storagev1alpha1.DirectoryMarker{ID: id}})
		}
		return all
	}
	old := func() *storagev1alpha1.LocalVolumeNode {
		return &storagev1alpha1.LocalVolumeNode{
			ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "u"},
			Spec: storagev1alpha1.LocalVolumeNodeSpec{
				Directories: []storagev1alpha1.DirectorySpec{{ID: "x/a-0"}, {ID: "x/b-0"}},
			},
			Status: storagev1alpha1.LocalVolumeNodeStatus{
				Directories: ready("x/a-0"), FileSystems: []storagev1alpha1.FileSystemStatus{{BasePath: "/mnt/data"}},
			},
		}
	}
	for name, test := range map[string]struct {
		change func(*storagev1alpha1.LocalVolumeNode)
		want   []string
	}{
		"a directory that is ready concerns its set": {func(n *storagev1alpha1.LocalVolumeNode) {
			n.Status.Directories = ready("x/a-0", "x/b-0")
		}, []string{"b"}},
		"a directory that fails concerns its set": {func(n *storagev1alpha1.LocalVolumeNode) {
			n.Status.Directories[0].State = storagev1alpha1.DirectoryFailed
		}, []string{"a"}},
		"a marker that changes concerns its set": {func(n *storagev1alpha1.LocalVolumeNode) {
			n.Status.Directories[0].Marker = &storagev1alpha1.DirectoryMarker{ID: "x/other"}
		}, []string{"a"}},
		"a directory that is not reported any more concerns its set": {func(n *storagev1alpha1.LocalVolumeNode) {
			n.Status.Directories = nil
		}, []string{"a"}},
		"used bytes and new work concern no set": {func(n *storagev1alpha1.LocalVolumeNode) {
			n.Status.Directories[0].UsedBytes = 1
			n.Spec.Directories = append(n.Spec.Directories, storagev1alpha1.DirectorySpec{ID: "x/d-0"})
			n.Status.ObservedGeneration = 2
		}, nil},
		"a found directory concerns the sets that wait": {func(n *storagev1alpha1.LocalVolumeNode) {
			n.Status.Found = []storagev1alpha1.FoundDirectory{{Path: "waits-0"}}
		}, []string{"waits"}},
		"a file system concerns all sets on the node and those that wait": {func(n *storagev1alpha1.LocalVolumeNode) {
			n.Status.FileSystems[0].AvailableBytes = 1
		}, []string{"a", "b", "waits"}},
		"removed work concerns all sets on the node and those that wait": {func(n *storagev1alpha1.LocalVolumeNode) {
			n.Spec.Directories = n.Spec.Directories[:1]
		}, []string{"a", "b", "waits"}},
		"another object with the name concerns all sets on the node and those that wait": {
			func(n *storagev1alpha1.LocalVolumeNode) { n.UID = "v" }, []string{"a", "b", "waits"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			updated := old()
			test.change(updated)
			require.Equal(t, test.want, names(c.setsAfterAgent(old(), updated)))
		})
	}
	require.Equal(t, []string{"a", "b", "waits"}, names(c.setsAfterAgent(nil, old())), "a new agent")
	require.Equal(t, []string{"a", "b", "waits"}, names(c.setsAfterAgent(old(), nil)), "a deleted LocalVolumeNode")
}

func names(found []controller.Key) []string {
	var all []string
	for _, key := range found {
		all = append(all, key.Name)
	}
	return distinct(all)
}

// The decision about a set reads only the sets that the indexes return. It must be the same as with all sets.
func TestIndexesReturnAllSetsThatCollide(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(values ...string) string { return values[random.IntN(len(values))] }
	settings := spec.Settings{AllowedBasePaths: []string{"/mnt"}}
	none := func(string) string { return "" }
	owners := spec.Owners{Claim: none, Directory: none}
	conflicts := 0
	for range 300 {
		var sets []*storagev1alpha1.KafkaLocalVolumeSet
		for i := range 6 {
			set := placedSet(pick("x", "y"), fmt.Sprintf("s%d", i), pick("", "n"), pick("", "n"))
			set.Spec.BasePath = pick("/mnt/data", "/mnt/data/x", "/mnt", "/mnt/other")
			set.Spec.PathPattern = pick("", "{namespace}/{claim}", "{claim}/x", "x/{claim}", "x/{claim}/{namespace}")
			set.Spec.Templates[0].ClaimNamePattern = pick("d-{ordinal}", "e-{ordinal}", "x", set.Name+"-{ordinal}")
			for n, v := range spec.Volumes(set) {
				set.Status.Volumes[n].Claim, set.Status.Volumes[n].Path = v.Claim, v.Directory()
			}
			set.CreationTimestamp = metav1.Unix(int64(random.IntN(3)), 0)
			sets = append(sets, set)
		}
		c := cachesOf(t, sets...)
		for _, set := range sets {
			others := slices.DeleteFunc(c.allSets(), func(o *storagev1alpha1.KafkaLocalVolumeSet) bool { return o == set })
			want := spec.Findings(set, others, settings, owners)
			conflicts += len(want)
			require.Equal(t, want, spec.Findings(set, c.observePlaced(set, metav1.Now().Time).Others, settings, owners))
		}
	}
	require.Greater(t, conflicts, 100, "the random sets collide")
}

func TestASetIsPlacedIfAllItsVolumesHaveANodeThatExists(t *testing.T) {
	t.Parallel()
	set := placedSet("x", "a", "n", "m")
	c := cachesOf(t, set)
	for _, name := range []string{"n", "m"} {
		require.False(t, c.placed(set))
		require.NoError(t, c.nodes.GetIndexer().Add(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	}
	require.True(t, c.placed(set))
	require.False(t, c.placed(placedSet("x", "waits", "n", "")))
}

// The decision about a set reads only the agents that the indexes return. It must be the same as with all agents.
func TestIndexesReturnAllAgentsWithAVolumeOfASet(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	pick := func(values ...string) string { return values[random.IntN(len(values))] }
	findings := map[string]int{}
	for range 2000 {
		set := placedSet("x", "s", "", "gone")
		set.Spec.BasePath = pick("/mnt/data", "/mnt", "/mnt/data/x")
		set.Spec.PathPattern = pick("", "{namespace}/{claim}", "x/{claim}", "{claim}/x")
		c := cachesOf(t, set)
		for i := range 4 {
			agent := &storagev1alpha1.LocalVolumeNode{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("n", i)}}
			agent.Status.MachineID = agent.Name
			for range random.IntN(3) {
				agent.Spec.Directories = append(agent.Spec.Directories, storagev1alpha1.DirectorySpec{
					ID: pick("x/s-0", "x/s-1", "y/s-0", "x/t-0"), SetName: pick("s", "t"), Create: pick("", "x") == "",
					BasePath: pick("/mnt/data", "/mnt"), Path: pick("s-0", "x/s-0", "data/s-0", "s-0/x", "data", "x", "other"),
				})
			}
			if random.IntN(4) == 0 {
				agent.Status.Found = []storagev1alpha1.FoundDirectory{{
					BasePath: "/mnt/data", Path: pick("s-0", "s-1", "x/s-1"), FileSystem: "f",
					Marker: storagev1alpha1.DirectoryMarker{ID: pick("x/s-0", "x/s-1"), SetName: pick("s", "t"),
						MachineID: pick(agent.Name, "other"), FileSystem: "f"},
				}}
			}
			require.NoError(t, c.agents.GetIndexer().Add(agent))
			require.NoError(t, c.nodes.GetIndexer().Add(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: agent.Name}}))
		}
		indexed := c.observePlaced(set, metav1.Now().Time)
		all := *indexed
		all.Holders = all.Agents
		for _, v := range spec.Volumes(set) {
			want, problem := placement.Find(&all, v)
			found, same := placement.Find(indexed, v)
			require.Equal(t, want, found)
			// The message names one of several directories.
			require.Equal(t, problem == nil, same == nil, "%v %v", problem, same)
			require.Equal(t, placement.Renamed(&all, v), placement.Renamed(indexed, v))
			findings[fmt.Sprint(want.Node != "", problem != nil, placement.Renamed(&all, v) != "")]++
		}
	}
	require.Greater(t, len(findings), 4, "the random agents have volumes of the set: %v", findings)
}
