package decide_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decidetest"
)

const small = `
metadata: {name: s}
spec:
  replicas: 3
  basePath: /mnt/data
  templates: [{name: data, claimNamePattern: "data-{ordinal}", size: 10Gi}]
`

func condition(set *storagev1alpha1.KafkaLocalVolumeSet, kind string) metav1.Condition {
	if c := meta.FindStatusCondition(set.Status.Conditions, kind); c != nil {
		return *c
	}
	return metav1.Condition{}
}

func volume(set *storagev1alpha1.KafkaLocalVolumeSet, claim string) storagev1alpha1.LocalVolumeStatus {
	for _, v := range set.Status.Volumes {
		if v.Claim == claim {
			return v
		}
	}
	return storagev1alpha1.LocalVolumeStatus{}
}

// documented returns the nine PersistentVolumes that users of the Confluent chart write by hand.
func documented(t *testing.T) map[string]corev1.PersistentVolume {
	t.Helper()
	file, err := os.ReadFile("testdata/confluent-volumes.yaml")
	require.NoError(t, err)
	found := map[string]corev1.PersistentVolume{}
	for _, document := range strings.Split(string(file), "\n---\n") {
		var pv corev1.PersistentVolume
		require.NoError(t, yaml.UnmarshalStrict([]byte(document), &pv))
		found[pv.Name] = pv
	}
	require.Len(t, found, 9)
	return found
}

func TestTheConfluentChartGetsTheNineVolumesThatUsersWriteByHand(t *testing.T) {
	t.Parallel()
	w := decidetest.New("pc")
	w.AddSet(t, decidetest.Confluent)
	w.Settle(t)
	var golden []any
	want := documented(t)
	for _, name := range slices.Sorted(maps.Keys(w.PVs)) {
		pv := w.PVs[name].DeepCopy()
		pv.UID, pv.Status = "", corev1.PersistentVolumeStatus{}
		golden = append(golden, pv.DeepCopy())
		pv.Labels, pv.Annotations = nil, nil
		require.Equal(t, want[name], *pv)
		delete(want, name)
	}
	require.Empty(t, want, "these PersistentVolumes were not created")
	testkit.Golden(t, "testdata/golden/confluent.yaml", golden...)
}

func TestPlacementIsRecordedBeforeAnythingIsCreated(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a", "b", "c")
	set := w.AddSet(t, small)
	for range 20 {
		w.Step(t)
		for name, disk := range w.Disks {
			for _, marker := range disk {
				v := volume(set, strings.TrimPrefix(marker.ID, "default/"))
				require.Equal(t, name, "machine-"+v.Node, "the directory is on the node in the status")
			}
		}
		for name := range w.PVs {
			require.NotEmpty(t, volume(set, name).Marker, "the directory is ready before its PersistentVolume exists")
		}
	}
	require.Len(t, w.PVs, 3)
	require.Equal(t, metav1.ConditionTrue, condition(set, "Ready").Status)
}

func TestReplicasAreSpreadOverNodesAndFitOnOneNode(t *testing.T) {
	t.Parallel()
	for nodes, want := range map[string][]string{"a b c": {"a", "b", "c"}, "a": {"a", "a", "a"}, "a b": {"a", "b", "a"}} {
		w := decidetest.New(strings.Fields(nodes)...)
		set := w.AddSet(t, small)
		w.Settle(t)
		for i, node := range want {
			require.Equal(t, node, set.Status.Volumes[i].Node, nodes)
		}
	}
}

func TestFileSystemsAreNotOvercommitted(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a")
	first := w.AddSet(t, strings.NewReplacer("10Gi", "40Gi", "replicas: 3", "replicas: 2").Replace(small))
	second := w.AddSet(t, strings.NewReplacer("10Gi", "20Gi", "{name: s}", "{name: t}", "data-", "other-",
		"replicas: 3", "replicas: 1").Replace(small))
	w.Settle(t)
	require.Equal(t, "2/2", first.Status.Ready)
	require.Equal(t, "0/1", second.Status.Ready, "80Gi of 90Gi are reserved")
	require.Equal(t, "InsufficientCapacity", condition(second, "CapacityOK").Reason)
	require.Contains(t, condition(second, "CapacityOK").Message, "needs 20Gi")
	delete(w.Sets, "default/s")
	w.Settle(t)
	require.Equal(t, "0/1", second.Status.Ready, "the directories of a deleted set still take space")
}

func TestDeletedClaimsBindToTheirOwnVolumesAgain(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a", "b", "c")
	set := w.AddSet(t, small)
	w.Settle(t)
	claim := w.Claim("default", "data-1", "10Gi")
	w.Settle(t)
	require.Equal(t, storagev1alpha1.PhaseBound, volume(set, "data-1").Phase)
	w.DeleteClaim("default", "data-1")
	w.Settle(t)
	require.Equal(t, storagev1alpha1.PhaseAvailable, volume(set, "data-1").Phase)
	require.Empty(t, w.PVs["data-1"].Spec.ClaimRef.UID)
	again := w.Claim("default", "data-1", "10Gi")
	require.NotEqual(t, claim.UID, again.UID)
	w.Settle(t)
	require.Equal(t, storagev1alpha1.PhaseBound, volume(set, "data-1").Phase)
	require.Equal(t, int64(1), set.Status.Rebinds)
}

func TestReleasedVolumesWaitForPodsAndPolicies(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, replace, with, message string
		pods                         []*corev1.Pod
	}{
		{name: "a running pod", message: "pod p still uses the volume", pods: []*corev1.Pod{{
			ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{NodeName: "a"},
			Status: corev1.PodStatus{Phase: corev1.PodRunning},
		}}},
		{name: "policy Never", replace: "basePath", with: "reusePolicy: Never\n  basePath", message: "reusePolicy is Never"},
		{name: "policy Manual", replace: "basePath", with: "reusePolicy: Manual\n  basePath", message: "allow-reuse=uid-"},
	} {
		w := decidetest.New("a")
		set := w.AddSet(t, strings.Replace(small, test.replace, test.with, 1))
		w.Settle(t)
		uid := w.Claim("default", "data-0", "10Gi").UID
		w.Settle(t)
		w.DeleteClaim("default", "data-0")
		w.Pods["default/data-0"] = test.pods
		w.Claim("default", "data-0", "10Gi").CreationTimestamp = metav1.NewTime(decidetest.Now.Add(1))
		w.Settle(t)
		require.Equal(t, storagev1alpha1.PhaseReleased, volume(set, "data-0").Phase, test.name)
		require.Contains(t, volume(set, "data-0").Message, test.message)
		delete(w.Pods, "default/data-0")
		metav1.SetMetaDataAnnotation(&w.PVs["data-0"].ObjectMeta, storagev1alpha1.AnnotationAllowReuse, string(uid))
		w.Settle(t)
		bound := volume(set, "data-0").Phase == storagev1alpha1.PhaseBound
		require.Equal(t, test.name != "policy Never", bound, test.name)
	}
}

func TestLostStatusIsRecoveredAndNothingIsPlacedAgain(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*decidetest.World){
		"the status":                func(*decidetest.World) {},
		"the PersistentVolumes too": func(w *decidetest.World) { clear(w.PVs) },
		"all objects": func(w *decidetest.World) {
			clear(w.PVs)
			for node := range w.Agents {
				w.AddNode(node, "machine-"+node)
			}
		},
	} {
		w := decidetest.New("a", "b", "c")
		before := w.AddSet(t, small)
		w.Settle(t)
		disks := map[string][]string{}
		for disk, directories := range w.Disks {
			disks[disk] = slices.Sorted(maps.Keys(directories))
		}
		lose(w)
		// Other nodes look better now.
		w.AddNode("0", "machine-0")
		after := w.AddSet(t, small)
		require.NotEqual(t, before.UID, after.UID)
		w.Settle(t)
		require.Equal(t, "3/3", after.Status.Ready, "%s: %+v", name, after.Status)
		for i, v := range before.Status.Volumes {
			require.Equal(t, v.Node, after.Status.Volumes[i].Node, name)
		}
		for disk, directories := range disks {
			require.Equal(t, directories, slices.Sorted(maps.Keys(w.Disks[disk])), name)
		}
	}
}

func TestMissingDirectoryIsReportedAndNotReplacedByAnEmptyOne(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a")
	set := w.AddSet(t, small)
	w.Settle(t)
	delete(w.Disks["machine-a"], "/mnt/data/data-1")
	w.Settle(t)
	require.Equal(t, storagev1alpha1.PhaseFailed, volume(set, "data-1").Phase)
	require.Equal(t, "DirectoryFailed", condition(set, "DirectoriesReady").Reason)
	require.NotContains(t, w.Disks["machine-a"], "/mnt/data/data-1")
}

func TestDirectoriesOfOthersAreConflicts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		marker storagev1alpha1.DirectoryMarker
		want   string
	}{
		"no marker":            {storagev1alpha1.DirectoryMarker{}, "set spec.adoptExisting to Unmarked"},
		"marker of other set":  {storagev1alpha1.DirectoryMarker{ID: "default/data-0", SetName: "x"}, "Conflict"},
		"marker of other data": {storagev1alpha1.DirectoryMarker{ID: "default/data-9", SetName: "s"}, "Conflict"},
	} {
		w := decidetest.New("a")
		w.Disks["machine-a"]["/mnt/data/data-0"] = test.marker
		set := w.AddSet(t, small)
		w.Settle(t)
		require.Equal(t, storagev1alpha1.PhaseConflict, volume(set, "data-0").Phase, name)
		require.Contains(t, condition(set, "Conflict").Message, test.want)
		require.NotContains(t, w.PVs, "data-0")
		require.Equal(t, test.marker, w.Disks["machine-a"]["/mnt/data/data-0"])
		require.Equal(t, "2/3", set.Status.Ready)
	}
}

func TestHandMadeVolumesAreAdoptedOnlyOnRequestAndIfTheyMatch(t *testing.T) {
	t.Parallel()
	adopt := strings.Replace(decidetest.Confluent, "basePath", "adoptExisting: Unmarked\n  basePath", 1)
	for _, test := range []struct {
		name, set, message string
		change             func(*corev1.PersistentVolume)
	}{
		{name: "matching", set: adopt},
		{name: "without the request", set: decidetest.Confluent, message: "set spec.adoptExisting to Unmarked"},
		{
			name: "other size", set: adopt, message: "has capacity 6Gi, expected 5Gi",
			change: func(pv *corev1.PersistentVolume) { pv.Spec.Capacity["storage"] = resource.MustParse("6Gi") },
		},
		{
			name: "other path", set: adopt, message: "has spec.local.path /mnt/x, expected /mnt/data/datadir-0",
			change: func(pv *corev1.PersistentVolume) { pv.Spec.Local.Path = "/mnt/x" },
		},
	} {
		w := decidetest.New("pc")
		for name, pv := range documented(t) {
			if test.change != nil {
				test.change(&pv)
			}
			pv.Status.Phase = corev1.VolumeAvailable
			w.PVs[name] = &pv
			w.Disks["machine-pc"]["/mnt/data/"+name] = storagev1alpha1.DirectoryMarker{}
		}
		set := w.AddSet(t, test.set)
		w.Settle(t)
		require.Len(t, w.PVs, 9)
		if test.message == "" {
			require.Equal(t, "9/9", set.Status.Ready, "%+v", set.Status.Conditions)
			labels := w.PVs["datadir-0-cp-helm-charts-cp-kafka-0"].Labels
			require.Equal(t, "volume-provisioner", labels["app.kubernetes.io/managed-by"])
			continue
		}
		require.Equal(t, "0/9", set.Status.Ready, test.name)
		require.Contains(t, volume(set, "datadir-0-cp-helm-charts-cp-kafka-0").Message, test.message, test.name)
	}
}

func TestSetsThatWantOneClaimOrPathConflictAndTheFirstKeepsIt(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, second, reason, message string }{
		{"claim", strings.Replace(small, "{name: s}", "{name: t}", 1), "ClaimInUse", "KafkaLocalVolumeSet s has too"},
		{"path", strings.Replace(small, "{name: s}", "{name: t, namespace: other}", 1), "PathInUse",
			"use spec.pathPattern {namespace}/{claim}"},
		{"nested path", strings.NewReplacer("{name: s}", "{name: t, namespace: other}", "/mnt/data", "/mnt/data/data-1").
			Replace(small), "PathInUse", "collides with /mnt/data/data-1"},
	} {
		w := decidetest.New("a")
		first := w.AddSet(t, small)
		second := w.AddSet(t, test.second)
		w.Settle(t)
		require.Equal(t, "3/3", first.Status.Ready)
		require.Equal(t, "0/3", second.Status.Ready)
		require.Equal(t, test.reason, condition(second, "Conflict").Reason, test.name)
		require.Contains(t, condition(second, "Conflict").Message, test.message)
	}
}

func TestInvalidSpecsNameTheFieldAndChangeNothing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ old, new, message string }{
		{"/mnt/data", "/etc/data", "spec.basePath /etc/data is not in --allowed-base-paths (/mnt/data)"},
		{"10Gi", "0", "spec.templates[data].size 0 must be greater than 0"},
		{"replicas: 3", "replicas: 2001", "spec.replicas 2001 with 1 templates are 2001 volumes"},
		{"10Gi", "5Gi", "spec.templates[data].size 5Gi is smaller than the size 10Gi of claim data-0"},
		{"replicas: 3", "replicas: 3\n  nodes: {perReplica: [a]}", "spec.nodes.perReplica has 1 nodes for spec.replicas 3"},
	} {
		w := decidetest.New("a")
		set := w.AddSet(t, small)
		w.Settle(t)
		before := w.PVs["data-0"].DeepCopy()
		changed := decidetest.New().AddSet(t, strings.Replace(small, test.old, test.new, 1))
		set.Spec = changed.Spec
		w.Settle(t)
		require.Equal(t, metav1.ConditionFalse, condition(set, "Ready").Status)
		require.Contains(t, condition(set, "Ready").Message, test.message)
		require.Equal(t, before, w.PVs["data-0"])
	}
}

func TestSelectorsWithoutNodesAreReported(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a")
	set := w.AddSet(t, strings.Replace(small, "basePath", "nodes: {selector: {matchLabels: {disk: ssd}}}\n  basePath", 1))
	w.Settle(t)
	require.Equal(t, "NoNodeMatches", condition(set, "PlacementComplete").Reason)
	require.Contains(t, condition(set, "PlacementComplete").Message, "spec.nodes.selector disk=ssd selects no node")
}

func TestASetThatWantsAPlacedDirectoryInVainDoesNotHideItFromOthers(t *testing.T) {
	t.Parallel()
	inside := strings.NewReplacer("{name: s}", "{name: inside}", "/mnt/data", "/mnt/data/data-1", "data-{", "in-{")
	for _, name := range []string{"a-same", "z-same"} {
		w := decidetest.New("a")
		first := w.AddSet(t, small)
		w.Settle(t)
		second := w.AddSet(t, strings.Replace(small, "{name: s}", "{name: "+name+"}", 1))
		w.Settle(t)
		third := w.AddSet(t, inside.Replace(small))
		third.CreationTimestamp = second.CreationTimestamp
		w.Settle(t)
		require.Equal(t, "3/3", first.Status.Ready)
		require.Equal(t, "0/3", second.Status.Ready)
		require.Equal(t, "0/3", third.Status.Ready, name)
		require.Equal(t, "PathInUse", condition(third, "Conflict").Reason)
	}
}

func TestTheVolumesOfADeletedSetStayItsOwn(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a")
	w.AddSet(t, small)
	w.Settle(t)
	second := w.AddSet(t, strings.Replace(small, "{name: s}", "{name: t}", 1))
	w.Settle(t)
	delete(w.Sets, "default/s")
	w.Settle(t)
	require.Equal(t, "VolumeConflict", condition(second, "Conflict").Reason)
	require.Contains(t, condition(second, "Conflict").Message, "PersistentVolume data-0 belongs to KafkaLocalVolumeSet s")
	require.Empty(t, volume(second, "data-0").Node, "it is not recorded as the owner")
	delete(w.Sets, "default/t")
	first := w.AddSet(t, small)
	w.Settle(t)
	require.Equal(t, "3/3", first.Status.Ready)
}
