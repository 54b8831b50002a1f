package decide_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decidetest"
)

func TestVolumesGrowAndClaimsFollow(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a")
	set := w.AddSet(t, small)
	w.Claim("default", "data-0", "10Gi")
	w.Settle(t)
	set.Spec.Templates[0].Size = resource.MustParse("20Gi")
	claim := w.Claims["default/data-0"]
	claim.Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("20Gi")
	w.Settle(t)
	grown := w.PVs["data-0"].Spec.Capacity["storage"]
	require.Equal(t, "20Gi", grown.String())
	has := w.Claims["default/data-0"].Status.Capacity["storage"]
	require.Equal(t, "20Gi", has.String())
	set.Spec.Templates[0].Size = resource.MustParse("50Gi")
	w.Settle(t)
	require.Equal(t, "InsufficientCapacity", condition(set, "CapacityOK").Reason)
	require.Contains(t, condition(set, "CapacityOK").Message, "cannot grow to 50Gi (spec.templates[data].size)")
}

func TestEditedVolumesAreRestored(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a")
	w.AddSet(t, small)
	w.Settle(t)
	want := w.PVs["data-0"].DeepCopy()
	edited := want.DeepCopy()
	edited.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
	edited.Spec.StorageClassName, edited.Labels = "fast", nil
	edited.Labels = map[string]string{"app.kubernetes.io/managed-by": "volume-provisioner", "mine": "kept"}
	edited.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "x", Name: "y"}
	w.PVs["data-0"] = edited
	w.Settle(t)
	want.Labels["mine"] = "kept"
	require.Equal(t, want, w.PVs["data-0"])
}

func TestClaimsThatDoNotFitAreReported(t *testing.T) {
	t.Parallel()
	for reason, change := range map[string]func(*corev1.PersistentVolumeClaim){
		"SizeTooLarge": func(c *corev1.PersistentVolumeClaim) {
			c.Spec.Resources.Requests["storage"] = resource.MustParse("11Gi")
		},
		"ClassDiffers":      func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = new("fast") },
		"AccessModesDiffer": func(c *corev1.PersistentVolumeClaim) { c.Spec.AccessModes[0] = corev1.ReadWriteMany },
		"BoundElsewhere":    func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "pv-x" },
	} {
		w := decidetest.New("a")
		set := w.AddSet(t, small)
		change(w.Claim("default", "data-2", "10Gi"))
		w.Settle(t)
		require.Equal(t, reason, condition(set, "ClaimMismatch").Reason)
		require.Contains(t, condition(set, "ClaimMismatch").Message, "data-2")
	}
}

func TestTakenNamesGetTheNamespaceAsPrefix(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a")
	w.PVs["data-0"] = &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "data-0"},
		Spec:       corev1.PersistentVolumeSpec{ClaimRef: &corev1.ObjectReference{Namespace: "x", Name: "data-0"}},
	}
	set := w.AddSet(t, small)
	w.Settle(t)
	require.Equal(t, "3/3", set.Status.Ready)
	require.Equal(t, "default-data-0", volume(set, "data-0").PV)
}

func TestScaleDownKeepsVolumesAndScaleUpUsesThemAgain(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a", "b", "c")
	set := w.AddSet(t, small)
	w.Settle(t)
	before := volume(set, "data-2")
	set.Spec.Replicas = 1
	w.Settle(t)
	require.Equal(t, "1/1", set.Status.Ready)
	require.Equal(t, storagev1alpha1.PhaseRetained, volume(set, "data-2").Phase)
	require.Len(t, w.PVs, 3)
	set.Spec.Replicas = 3
	w.Settle(t)
	require.Equal(t, before, volume(set, "data-2"))
}

func TestRenamedNodeKeepsItsVolumes(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a", "b", "c")
	set := w.AddSet(t, small)
	w.Settle(t)
	node := volume(set, "data-1").Node
	delete(w.Nodes, node)
	w.Settle(t)
	require.Equal(t, storagev1alpha1.PhaseLost, volume(set, "data-1").Phase)
	require.Equal(t, "NodeDeleted", condition(set, "NodeLost").Reason)
	w.AddNode("renamed", "machine-"+node)
	w.Settle(t)
	require.Equal(t, "renamed", volume(set, "data-1").Node)
	require.Equal(t, storagev1alpha1.PhaseAvailable, volume(set, "data-1").Phase)
	require.Equal(t, []string{"renamed"},
		w.PVs["data-1"].Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Values)
}

func TestWipeDeletesOnlyUnboundDataThatItNamesExactly(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a")
	set := w.AddSet(t, small)
	w.Settle(t)
	old := w.PVs["data-0"].UID
	w.AddWipe("data-0", "wrong", "/mnt/data/data-0")
	w.AddWipe("data-0", old, "/mnt/data/data-1")
	bound := w.AddWipe("data-1", w.PVs["data-1"].UID, "/mnt/data/data-1")
	w.Claim("default", "data-1", "10Gi")
	w.Settle(t)
	w.SettleWipes(t)
	require.Equal(t, storagev1alpha1.WipeRefused, w.Wipes[0].Status.State)
	require.Equal(t, storagev1alpha1.WipeRefused, w.Wipes[1].Status.State)
	require.Equal(t, storagev1alpha1.WipePending, bound.Status.State)
	require.Len(t, w.Disks["machine-a"], 3)
	require.Equal(t, old, w.PVs["data-0"].UID)
	done := w.AddWipe("data-0", old, "/mnt/data/data-0")
	w.SettleWipes(t)
	require.Equal(t, storagev1alpha1.WipeDone, done.Status.State)
	require.NotEqual(t, old, w.PVs["data-0"].UID, "the PersistentVolume is created again with an empty directory")
	require.Equal(t, "3/3", set.Status.Ready)
}

func TestLostReplicaMovesOnlyIfThePolicyAsksForItAndAllOthersAreBound(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a", "b", "c", "d")
	set := w.AddSet(t, strings.Replace(small, "basePath", "nodeLoss: {policy: Replace, after: 30m}\n  basePath", 1))
	for _, claim := range []string{"data-0", "data-1", "data-2"} {
		w.Claim("default", claim, "10Gi")
	}
	w.Settle(t)
	lost := volume(set, "data-1")
	delete(w.Nodes, lost.Node)
	w.Settle(t)
	require.Contains(t, volume(set, "data-1").Message, "has been gone for 30m")
	w.Later = 31 * time.Minute
	w.Settle(t)
	require.Contains(t, volume(set, "data-1").Message, "delete the pod and claim data-1")
	w.DeleteClaim("default", "data-1")
	w.DeleteClaim("default", "data-0")
	set.Spec.ReusePolicy = storagev1alpha1.ReuseNever
	w.Settle(t)
	require.Contains(t, volume(set, "data-1").Message, "claim data-0 is not")
	set.Spec.ReusePolicy = storagev1alpha1.ReuseAutomatic
	w.Claim("default", "data-0", "10Gi")
	w.Settle(t)
	moved := volume(set, "data-1")
	require.Equal(t, storagev1alpha1.PhaseAvailable, moved.Phase)
	require.NotContains(t, []string{volume(set, "data-0").Node, volume(set, "data-2").Node, lost.Node}, moved.Node)
	require.Equal(t, lost.Node, moved.Previous[0].Node)
	require.Contains(t, w.Disks["machine-"+lost.Node], "/mnt/data/data-1", "the data on the lost node is kept")
}

func TestClaimWhosePersistentVolumeWasDeletedIsBoundAgain(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a")
	set := w.AddSet(t, small)
	claim := w.Claim("default", "data-0", "10Gi")
	w.Settle(t)
	delete(w.PVs, "data-0")
	w.Settle(t)
	require.Equal(t, claim.UID, w.PVs["data-0"].Spec.ClaimRef.UID)
	require.Equal(t, "3/3", set.Status.Ready)
}

func TestFullAndOvercommittedFileSystemsAreReportedAndNothingMoves(t *testing.T) {
	t.Parallel()
	for reason, test := range map[string]struct {
		capacity, available int64
		message             string
	}{
		"Overcommitted":  {capacity: 25 << 30, available: 20 << 30, message: "has 25Gi, and its volumes have 30Gi together"},
		"FileSystemFull": {capacity: 100 << 30, available: 1 << 30, message: "on node a has less than 2 % free space"},
	} {
		w := decidetest.New("a")
		set := w.AddSet(t, small)
		w.Claim("default", "data-0", "10Gi")
		w.Settle(t)
		require.Equal(t, metav1.ConditionTrue, condition(set, "CapacityOK").Status)
		before := w.PVs["data-0"]
		fs := &w.Agents["a"].Status.FileSystems[0]
		fs.CapacityBytes, fs.AvailableBytes = test.capacity, test.available
		w.Settle(t)
		require.Equal(t, reason, condition(set, "CapacityOK").Reason)
		require.Contains(t, condition(set, "CapacityOK").Message, test.message)
		require.Equal(t, reason, condition(set, "Ready").Reason)
		require.Equal(t, "3/3", set.Status.Ready)
		require.Equal(t, before, w.PVs["data-0"])
		fs = &w.Agents["a"].Status.FileSystems[0]
		fs.CapacityBytes, fs.AvailableBytes = 100<<30, 90<<30
		w.Settle(t)
		require.Equal(t, metav1.ConditionTrue, condition(set, "Ready").Status)
	}
}

// Kubernetes binds a claim to a PersistentVolume with the claim's uid at once. Without the uid, a claim that exists
// before the PersistentVolume is available waits for the next resync of the binder.
func TestAvailableVolumesNameTheUIDOfTheClaimThatWaits(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a")
	claim := w.Claim("default", "data-0", "10Gi")
	w.Claim("default", "data-1", "11Gi")
	set := w.AddSet(t, small)
	for len(w.PVs) < 3 {
		w.Step(t)
	}
	require.Equal(t, claim.UID, w.PVs["data-0"].Spec.ClaimRef.UID)
	require.Empty(t, w.PVs["data-1"].Spec.ClaimRef.UID, "the claim is too large")
	require.Empty(t, w.PVs["data-2"].Spec.ClaimRef.UID, "no claim exists")
	w.Settle(t)
	require.Equal(t, storagev1alpha1.PhaseBound, volume(set, "data-0").Phase)
	w.DeleteClaim("default", "data-0")
	again := w.Claim("default", "data-0", "10Gi")
	w.Step(t)
	require.Equal(t, again.UID, w.PVs["data-0"].Spec.ClaimRef.UID)
	require.Equal(t, "1", w.PVs["data-0"].Annotations[storagev1alpha1.AnnotationRebinds])
}
