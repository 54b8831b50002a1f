package reconcile

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	weirfake "github.com/weir-dev/weir/generated/clientset/versioned/fake"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/volumes"
)

// again decodes an object from JSON, as a client does.
func again[O any](t *testing.T, object *O) *O {
	t.Helper()
	data, err := json.Marshal(object)
	require.NoError(t, err)
	decoded := new(O)
	require.NoError(t, json.Unmarshal(data, decoded))
	return decoded
}

// fill adds sets of 10 volumes to the caches, with the LocalVolumeNodes and PersistentVolumes that they have when they
// are ready. share is applied to each object that a client has decoded.
func fill(t *testing.T, c *caches, sets, nodes int, share func(any)) {
	t.Helper()
	add := func(informer cache.SharedIndexInformer, object any) {
		share(object)
		require.NoError(t, informer.GetIndexer().Add(object))
	}
	uid := func(kind string, n int) types.UID { return types.UID(fmt.Sprintf("%s-0000-0000-0000-%026d", kind, n)) }
	agents := make([]storagev1alpha1.LocalVolumeNode, nodes)
	for n := range sets {
		set := &storagev1alpha1.KafkaLocalVolumeSet{ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: fmt.Sprintf("set-%04d", n), UID: uid("set", n), ResourceVersion: fmt.Sprint(n),
		}}
		set.Spec = storagev1alpha1.KafkaLocalVolumeSetSpec{Replicas: 5, BasePath: "/mnt/data"}
		for i := range 2 {
			set.Spec.Templates = append(set.Spec.Templates, storagev1alpha1.VolumeTemplate{
				Name: fmt.Sprint("data-", i), ClaimNamePattern: fmt.Sprintf("data-%d-%s-{ordinal}", i, set.Name),
				Size: resource.MustParse("1Gi"), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			})
		}
		for _, kind := range []string{
			"Ready", "PlacementComplete", "DirectoriesReady", "CapacityOK", "NodeLost", "Conflict", "ClaimMismatch",
		} {
			set.Status.Conditions = append(set.Status.Conditions, metav1.Condition{
				Type: kind, Status: metav1.ConditionTrue, Reason: "VolumesReady",
				Message: "10 of 10 volumes are available or bound",
			})
		}
		for i, v := range spec.Volumes(set) {
			at := (n + i/2) % nodes
			node := fmt.Sprintf("node-%03d", at)
			set.Status.Volumes = append(set.Status.Volumes, storagev1alpha1.LocalVolumeStatus{
				Claim: v.Claim, Ordinal: v.Ordinal, Template: v.Template.Name, PV: v.Claim, Node: node, NodeUID: uid("node", at),
				Path: v.Directory(), Bytes: v.Bytes(), Phase: storagev1alpha1.PhaseAvailable, Marker: v.ID(),
			})
			agent := &agents[at]
			agent.Name = node
			agent.Spec.Directories = append(agent.Spec.Directories, storagev1alpha1.DirectorySpec{
				ID: v.ID(), BasePath: v.BasePath, Path: v.Path, SetName: set.Name, SetUID: set.UID, Ordinal: v.Ordinal,
				MachineID: string(uid("machine", at)), FileSystem: string(uid("fs", at)), Bytes: v.Bytes(),
			})
			agent.Status.Directories = append(agent.Status.Directories, storagev1alpha1.DirectoryStatus{
				ID: v.ID(), State: storagev1alpha1.DirectoryReady, FileSystem: string(uid("fs", at)),
				Marker: &storagev1alpha1.DirectoryMarker{
					ID: v.ID(), SetName: set.Name, SetUID: set.UID, Ordinal: v.Ordinal, MachineID: string(uid("machine", at)),
					FileSystem: string(uid("fs", at)),
				},
			})
			built := volumes.Build(set, v, v.Claim, &corev1.Node{
				ObjectMeta: metav1.ObjectMeta{Name: node, Labels: map[string]string{corev1.LabelHostname: node}},
			}, v.Bytes())
			built.UID, built.ResourceVersion = uid("pv", 10*n+i), fmt.Sprint(n)
			built.Finalizers, built.Status.Phase = []string{"kubernetes.io/pv-protection"}, corev1.VolumeAvailable
			data, err := built.Marshal()
			require.NoError(t, err)
			pv := &corev1.PersistentVolume{}
			require.NoError(t, pv.Unmarshal(data))
			add(c.volumes, pv)
		}
		add(c.sets, again(t, set))
	}
	for i := range agents {
		add(c.agents, again(t, &agents[i]))
	}
}

// heap returns the memory of the caches in bytes for each volume.
func heap(t *testing.T, share func(any)) float64 {
	t.Helper()
	const sets = 200
	used := func() uint64 {
		runtime.GC()
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	c, err := newCaches(fake.NewClientset(), weirfake.NewClientset(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	before := used()
	fill(t, c, sets, sets/10, share)
	after := used()
	runtime.KeepAlive(c)
	return (float64(after) - float64(before)) / (10 * sets)
}

// It is not parallel: other tests would use memory.
func TestCachesNeedLittleMoreMemoryForEachVolumeThanWhatIsDifferent(t *testing.T) {
	s := &sharer{}
	without := heap(t, func(any) {})
	with := heap(t, func(object any) {
		switch o := object.(type) {
		case *corev1.PersistentVolume:
			s.volume(o)
		case *storagev1alpha1.KafkaLocalVolumeSet:
			s.set(o)
		case *storagev1alpha1.LocalVolumeNode:
			s.agent(o)
		}
	})
	runtime.KeepAlive(s)
	t.Logf("a volume needs %.0f bytes in the caches, and %.0f if objects shared nothing", with, without)
	require.Less(t, with, 0.75*without)
}
