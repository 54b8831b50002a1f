package reconcile

import (
	"fmt"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/volumes"
)

// decoded returns a PersistentVolume with its own copy of each value, as a client decodes it.
func decoded(t *testing.T, ordinal int, node string) *corev1.PersistentVolume {
	t.Helper()
	set := placedSet("x", "a", "n", "n", "n")
	built := volumes.Build(set, spec.Volumes(set)[ordinal], fmt.Sprint("a-", ordinal), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node, Labels: map[string]string{corev1.LabelHostname: node}},
	}, 1<<30)
	built.Finalizers = []string{"kubernetes.io/pv-protection"}
	built.Status.Phase = corev1.VolumeAvailable
	data, err := built.Marshal()
	require.NoError(t, err)
	var pv corev1.PersistentVolume
	require.NoError(t, pv.Unmarshal(data))
	return &pv
}

func same[S ~string](a, b S) bool {
	return unsafe.StringData(string(a)) == unsafe.StringData(string(b))
}

func TestCachedPersistentVolumesShareWhatIsEqualAndKeepTheirValues(t *testing.T) {
	t.Parallel()
	s := &sharer{}
	var pvs []*corev1.PersistentVolume
	for i, node := range []string{"n", "n", "m"} {
		pv := decoded(t, i, node)
		s.volume(pv)
		require.Equal(t, decoded(t, i, node), pv)
		pvs = append(pvs, pv)
	}
	a, b, c := pvs[0], pvs[1], pvs[2]
	require.True(t, same(a.Spec.StorageClassName, b.Spec.StorageClassName))
	require.True(t, same(a.Finalizers[0], c.Finalizers[0]))
	require.True(t, same(a.Spec.ClaimRef.Name, a.Name))
	require.Same(t, a.Spec.NodeAffinity, b.Spec.NodeAffinity)
	require.NotSame(t, a.Spec.NodeAffinity, c.Spec.NodeAffinity)
	for _, shared := range []func(*corev1.PersistentVolume) any{
		func(pv *corev1.PersistentVolume) any { return pv.Labels },
		func(pv *corev1.PersistentVolume) any { return pv.Spec.Capacity },
	} {
		require.Equal(t, fmt.Sprintf("%p", shared(a)), fmt.Sprintf("%p", shared(c)), "the same map")
	}
	// A writer changes a copy.
	written := a.DeepCopy()
	written.Labels["x"], written.Spec.Capacity[corev1.ResourceStorage] = "y", resource.MustParse("2Gi")
	require.Equal(t, decoded(t, 2, "m"), c)
}

func TestPersistentVolumesThatDifferShareNothingThatDiffers(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*corev1.PersistentVolume){
		"another label":      func(pv *corev1.PersistentVolume) { pv.Labels["rack"] = "1" },
		"no label":           func(pv *corev1.PersistentVolume) { pv.Labels = nil },
		"another annotation": func(pv *corev1.PersistentVolume) { pv.Annotations["rack"] = "1" },
		"another size": func(pv *corev1.PersistentVolume) {
			pv.Spec.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1500Mi")}
		},
		"two resources": func(pv *corev1.PersistentVolume) { pv.Spec.Capacity["inodes"] = resource.MustParse("1k") },
		"another operator": func(pv *corev1.PersistentVolume) {
			pv.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Operator = corev1.NodeSelectorOpNotIn
		},
		"two nodes": func(pv *corev1.PersistentVolume) {
			e := &pv.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0]
			e.Values = append(e.Values, "m")
		},
		"no node affinity": func(pv *corev1.PersistentVolume) { pv.Spec.NodeAffinity = nil },
		"no claim":         func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef = nil },
		"no mode":          func(pv *corev1.PersistentVolume) { pv.Spec.VolumeMode = nil },
		"a long class":     func(pv *corev1.PersistentVolume) { pv.Spec.StorageClassName = string(make([]byte, 100)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &sharer{}
			s.volume(decoded(t, 0, "n"))
			pv, want := decoded(t, 1, "n"), decoded(t, 1, "n")
			change(pv)
			change(want)
			s.volume(pv)
			require.Equal(t, want, pv)
		})
	}
}

func TestCachedClaimsSetsAndAgentsKeepTheirValues(t *testing.T) {
	t.Parallel()
	s := &sharer{}
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "x", Name: "data-0", Labels: map[string]string{"app": "kafka"},
			Annotations: map[string]string{spec.AnnotationSelectedNode: "n"},
			Finalizers:  []string{"kubernetes.io/pvc-protection"},
		},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: new("local-storage"),
			VolumeMode: new(corev1.PersistentVolumeFilesystem), VolumeName: "data-0",
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			},
		},
		Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound},
	}
	set := placedSet("x", "a", "n", "m", "")
	set.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "True", Reason: "VolumesReady", Message: "3 of 3"}}
	marker := storagev1alpha1.DirectoryMarker{
		ID: "x/a-0", SetName: "a", SetUID: "u", Ordinal: 1, MachineID: "machine", FileSystem: "fs",
	}
	agent := &storagev1alpha1.LocalVolumeNode{
		Spec: storagev1alpha1.LocalVolumeNodeSpec{Directories: []storagev1alpha1.DirectorySpec{
			{ID: "x/a-0", BasePath: "/mnt", Path: "a-0", SetName: "a", SetUID: "u", MachineID: "machine"},
			{ID: "x/a-1", BasePath: "/mnt", Path: "x/a-1", SetName: "a", Quota: storagev1alpha1.QuotaXFS},
			{ID: "x/a-2", BasePath: "/mnt", Path: "else/where"},
		}},
		Status: storagev1alpha1.LocalVolumeNodeStatus{Directories: []storagev1alpha1.DirectoryStatus{
			{ID: "x/a-0", State: storagev1alpha1.DirectoryReady, FileSystem: "fs", Marker: &marker},
			{ID: "x/removed", State: storagev1alpha1.DirectoryConflict, Marker: marker.DeepCopy()},
		}},
	}
	wantClaim, wantSet, wantAgent := claim.DeepCopy(), set.DeepCopy(), agent.DeepCopy()
	s.claim(claim)
	s.set(set)
	s.agent(agent)
	require.Equal(t, wantClaim, claim)
	require.Equal(t, wantSet, set)
	require.Equal(t, wantAgent, agent)
	require.True(t, same(agent.Spec.Directories[0].ID, agent.Status.Directories[0].ID))
	require.True(t, same(claim.Name, claim.Spec.VolumeName))
}

func TestSharedValuesOfDeletedObjectsDoNotStay(t *testing.T) {
	t.Parallel()
	s := &sharer{}
	node := func(i int) string {
		set := placedSet("x", "a", fmt.Sprint("node-", i))
		s.set(set)
		return set.Status.Volumes[0].Node
	}
	first := node(0)
	require.True(t, same(first, node(0)))
	for i := range 3 * maxShared {
		require.Equal(t, fmt.Sprint("node-", i), node(i))
	}
	require.False(t, same(first, node(0)))
}
