package observed_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
)

func set(name string, volumes ...storagev1alpha1.LocalVolumeStatus) *storagev1alpha1.KafkaLocalVolumeSet {
	return &storagev1alpha1.KafkaLocalVolumeSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: name},
		Spec:       storagev1alpha1.KafkaLocalVolumeSetSpec{BasePath: "/a"},
		Status:     storagev1alpha1.KafkaLocalVolumeSetStatus{Volumes: volumes},
	}
}

func volume(claim, node string, bytes int64) storagev1alpha1.LocalVolumeStatus {
	return storagev1alpha1.LocalVolumeStatus{Claim: claim, Node: node, Bytes: bytes}
}

func agents(name string, directories ...storagev1alpha1.DirectorySpec) map[string]*storagev1alpha1.LocalVolumeNode {
	return map[string]*storagev1alpha1.LocalVolumeNode{name: {
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       storagev1alpha1.LocalVolumeNodeSpec{Directories: directories},
	}}
}

func directory(id, base string, bytes int64) storagev1alpha1.DirectorySpec {
	return storagev1alpha1.DirectorySpec{ID: id, BasePath: base, Bytes: bytes}
}

func TestReservedBytesAreThoseOfSetsAndOfDirectoriesWithoutASet(t *testing.T) {
	t.Parallel()
	type sets = []*storagev1alpha1.KafkaLocalVolumeSet
	for name, test := range map[string]struct {
		sets   sets
		agents map[string]*storagev1alpha1.LocalVolumeNode
		want   observed.Reserved
	}{
		"nothing": {want: observed.Reserved{}},
		"a volume of a set counts before the agent knows it": {
			sets: sets{set("s", volume("d-0", "n", 5))}, want: observed.Reserved{{"n", "/a"}: 5},
		},
		"the work of the agent for it does not count again": {
			sets{set("s", volume("d-0", "n", 5))}, agents("n", directory("x/d-0", "/a", 4)), observed.Reserved{{"n", "/a"}: 5},
		},
		"a directory whose set was deleted counts": {
			agents: agents("n", directory("x/d-0", "/b", 4)), want: observed.Reserved{{"n", "/b"}: 4},
		},
		"a directory on another node than the volume of its set counts": {
			sets{set("s", volume("d-0", "m", 5))}, agents("n", directory("x/d-0", "/a", 4)),
			observed.Reserved{{"m", "/a"}: 5, {"n", "/a"}: 4},
		},
		"a volume without a node does not count": {sets: sets{set("s", volume("d-0", "", 5))}, want: observed.Reserved{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r observed.Reservations
			r.Update(test.sets, test.agents)
			require.Equal(t, test.want, r.Total())
			r.Update(nil, nil)
			require.Empty(t, r.Total(), "after all objects were deleted")
		})
	}
}

func TestUpdatesOfReservationsEqualANewSum(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	var r observed.Reservations
	var sets []*storagev1alpha1.KafkaLocalVolumeSet
	nodes := map[string]*storagev1alpha1.LocalVolumeNode{}
	name := func(prefix string, n int) string { return fmt.Sprint(prefix, random.IntN(n)) }
	for range 2000 {
		switch i := random.IntN(8); {
		case i < len(sets) && random.IntN(4) == 0:
			sets = append(sets[:i:i], sets[i+1:]...)
		case i < 4:
			changed := set(fmt.Sprint("s", i))
			for range random.IntN(4) {
				changed.Status.Volumes = append(changed.Status.Volumes,
					volume(name("d-", 6), name("n", 3), random.Int64N(9)))
			}
			kept := sets[:0:0]
			for _, s := range sets {
				if s.Name != changed.Name {
					kept = append(kept, s)
				}
			}
			kept = append(kept, changed)
			sets = kept
		case i == 4:
			delete(nodes, name("n", 3))
		default:
			// The ids of an agent's directories are unique.
			var directories []storagev1alpha1.DirectorySpec
			for id := range 6 {
				if random.IntN(2) == 0 {
					directories = append(directories, directory(fmt.Sprint("x/d-", id), "/"+name("", 2), random.Int64N(9)))
				}
			}
			node := name("n", 3)
			nodes[node] = agents(node, directories...)[node]
		}
		r.Update(sets, nodes)
		var again observed.Reservations
		again.Update(sets, nodes)
		require.Equal(t, again.Total(), r.Total())
	}
}
