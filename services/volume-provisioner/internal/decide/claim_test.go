package decide_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decidetest"
)

func TestClaimsOfTheClassGetAVolumeOnTheNodeThatTheSchedulerChose(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a", "b")
	w.Nodes["b"].Spec.Taints = []corev1.Taint{{Key: "dedicated", Effect: corev1.TaintEffectNoSchedule}}
	waits := w.ClassClaim("default", "data-x-0", "10Gi", "")
	w.ClassClaim("other", "data-x-0", "10Gi", "b")
	w.Settle(t)
	require.Empty(t, waits.Spec.VolumeName, "the scheduler has not chosen a node")
	pv := w.PVs["data-x-0"]
	require.Equal(t, "/mnt/data/other/data-x-0", pv.Spec.Local.Path)
	require.Equal(t, corev1.VolumeBound, pv.Status.Phase)
	require.Equal(t, corev1.PersistentVolumeReclaimRetain, pv.Spec.PersistentVolumeReclaimPolicy)
	require.Equal(t, "weir-local", pv.Spec.StorageClassName)
	require.Equal(t, "b", pv.Annotations[storagev1alpha1.AnnotationNode], "pods may tolerate taints")
	require.NotContains(t, pv.Labels, "app.kubernetes.io/instance")
	waits.Annotations[spec.AnnotationSelectedNode] = "a"
	w.Settle(t)
	require.Equal(t, "default-data-x-0", waits.Spec.VolumeName, "the other PersistentVolume has the short name")
	require.Contains(t, w.Disks["machine-a"], "/mnt/data/default/data-x-0")
}

func TestClaimsOfTheClassGetTheirDirectoryBackOnItsNode(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*decidetest.World){
		"nothing":              func(*decidetest.World) {},
		"the PersistentVolume": func(w *decidetest.World) { clear(w.PVs) },
		"the PersistentVolume and LocalVolumeNode": func(w *decidetest.World) { clear(w.PVs); w.AddNode("a", "machine-a") },
		"the LocalVolumeNode":                      func(w *decidetest.World) { w.AddNode("a", "machine-a") },
	} {
		w := decidetest.New("a", "b")
		w.ClassClaim("default", "data-x-0", "10Gi", "a")
		w.Settle(t)
		w.DeleteClaim("default", "data-x-0")
		w.Settle(t)
		require.Equal(t, corev1.VolumeReleased, w.PVs["data-x-0"].Status.Phase)
		lose(w)
		// The scheduler chooses another node, and the new claim is smaller.
		again := w.ClassClaim("default", "data-x-0", "5Gi", "b")
		w.Settle(t)
		require.Equal(t, "data-x-0", again.Spec.VolumeName, name)
		require.Equal(t, "a", w.PVs["data-x-0"].Annotations[storagev1alpha1.AnnotationNode], name)
		require.Equal(t, corev1.VolumeBound, w.PVs["data-x-0"].Status.Phase, name)
		require.Empty(t, w.Disks["machine-b"], name)
		require.Empty(t, w.Problems["default/data-x-0"], name)
	}
}

func TestNodesWithoutRoomForAClaimAreRefused(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a", "b")
	w.AddSet(t, strings.NewReplacer("10Gi", "80Gi", "replicas: 3", "replicas: 1\n  nodes: {list: [a]}").Replace(small))
	w.Nodes["c"] = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "c"}}
	w.Settle(t)
	for node, message := range map[string]string{
		"a": "node a cannot have the volume: replica 0 needs 20Gi and fits on no node: 1 of the nodes has room for 10Gi",
		"c": "node c does not run the agent of volume-provisioner",
	} {
		claim := w.ClassClaim("default", "data-x-0", "20Gi", node)
		w.Step(t)
		require.Equal(t, message, w.Problems["default/data-x-0"])
		require.NotContains(t, claim.Annotations, spec.AnnotationSelectedNode)
		w.Settle(t)
		require.NotContains(t, w.PVs, "data-x-0")
	}
	w.ClassClaim("default", "data-x-0", "20Gi", "b")
	w.Settle(t)
	require.Equal(t, corev1.VolumeBound, w.PVs["data-x-0"].Status.Phase)
}

func TestNoClaimIsPlacedWhileAnAgentMayHaveItsDirectory(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a", "b")
	w.Settle(t)
	w.Agents["b"].Status.FileSystems = nil
	w.ClassClaim("default", "data-x-0", "10Gi", "a")
	w.Step(t)
	require.Contains(t, w.Problems["default/data-x-0"], "the agent of node b has not reported /mnt/data yet")
	require.Empty(t, w.Agents["a"].Spec.Directories)
	w.Settle(t)
	require.Equal(t, corev1.VolumeBound, w.PVs["data-x-0"].Status.Phase)
}

func TestDirectoriesOfClaimsAreNotReplacedByEmptyOnes(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a")
	w.ClassClaim("default", "data-x-0", "10Gi", "a")
	w.Settle(t)
	delete(w.Disks["machine-a"], "/mnt/data/default/data-x-0")
	w.Settle(t)
	require.Empty(t, w.Disks["machine-a"])
	require.Contains(t, w.Problems["default/data-x-0"], "/mnt/data/default/data-x-0 on node a")
}

func TestClaimsOfARenamedNodeKeepTheirDirectories(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a")
	w.ClassClaim("default", "data-x-0", "10Gi", "a")
	w.Settle(t)
	delete(w.Nodes, "a")
	w.Settle(t)
	require.Contains(t, w.Problems["default/data-x-0"], "node a does not exist; its directory "+
		"/mnt/data/default/data-x-0 is not touched")
	w.AddNode("renamed", "machine-a")
	w.Settle(t)
	require.Contains(t, w.Problems["default/data-x-0"], "delete the pod and claim data-x-0")
	w.DeleteClaim("default", "data-x-0")
	w.ClassClaim("default", "data-x-0", "10Gi", "renamed")
	w.Settle(t)
	require.Equal(t, "renamed", w.PVs["data-x-0"].Annotations[storagev1alpha1.AnnotationNode])
	require.Equal(t, corev1.VolumeBound, w.PVs["data-x-0"].Status.Phase)
}

func TestClaimsOfTheClassGrow(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a")
	claim := w.ClassClaim("default", "data-x-0", "10Gi", "a")
	w.Settle(t)
	claim.Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("20Gi")
	w.Settle(t)
	grown := w.Claims["default/data-x-0"].Status.Capacity[corev1.ResourceStorage]
	require.Equal(t, "20Gi", grown.String())
	w.Claims["default/data-x-0"].Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("200Gi")
	w.Settle(t)
	require.Contains(t, w.Problems["default/data-x-0"], "cannot grow to 200Gi")
}

func TestSetsAndClaimsDoNotTakeDirectoriesFromEachOther(t *testing.T) {
	t.Parallel()
	w := decidetest.New("a")
	w.ClassClaim("default", "data-0", "10Gi", "a")
	w.Settle(t)
	set := w.AddSet(t, strings.Replace(small, "basePath", "pathPattern: \"{namespace}/{claim}\"\n  basePath", 1))
	delete(w.Claims, "default/data-0")
	w.Settle(t)
	require.Equal(t, "2/3", set.Status.Ready)
	require.Equal(t, storagev1alpha1.PhaseConflict, volume(set, "data-0").Phase)
	require.Empty(t, w.Disks["machine-a"]["/mnt/data/default/data-0"].SetName)
}

func TestUnsupportedClaimsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for message, change := range map[string]func(*corev1.PersistentVolumeClaim){
		"spec.volumeMode Block is not supported; use Filesystem": func(c *corev1.PersistentVolumeClaim) {
			c.Spec.VolumeMode = new(corev1.PersistentVolumeBlock)
		},
		"spec.selector is not supported": func(c *corev1.PersistentVolumeClaim) { c.Spec.Selector = &metav1.LabelSelector{} },
		"spec.dataSource is not supported": func(c *corev1.PersistentVolumeClaim) {
			c.Spec.DataSource = &corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: "x"}
		},
	} {
		w := decidetest.New("a")
		change(w.ClassClaim("default", "data-x-0", "10Gi", "a"))
		w.Settle(t)
		require.Contains(t, w.Problems["default/data-x-0"], message)
		require.Empty(t, w.PVs)
	}
}

func TestStorageClassesThatCannotWorkNameTheField(t *testing.T) {
	t.Parallel()
	settings := spec.Settings{AllowedBasePaths: []string{"/mnt/data"}}
	for message, change := range map[string]func(*storagev1.StorageClass){
		"": func(*storagev1.StorageClass) {},
		"parameters.basePath is missing; use for example /mnt/data": func(c *storagev1.StorageClass) { c.Parameters = nil },
		"parameters.basePath / must be an absolute path": func(c *storagev1.StorageClass) {
			c.Parameters["basePath"] = "/"
		},
		"parameters.basePath /etc is not in --allowed-base-paths (/mnt/data)": func(c *storagev1.StorageClass) {
			c.Parameters["basePath"] = "/etc"
		},
		"parameters.basePath /mnt/data/../x must be": func(c *storagev1.StorageClass) {
			c.Parameters["basePath"] = "/mnt/data/../x"
		},
		"parameters.pathPattern ../{namespace}/{claim} must be a relative path": func(c *storagev1.StorageClass) {
			c.Parameters["pathPattern"] = "../{namespace}/{claim}"
		},
		"parameters.pathPattern {claim} must contain {namespace} and {claim}": func(c *storagev1.StorageClass) {
			c.Parameters["pathPattern"] = "{claim}"
		},
		"parameters.basepath is not known; remove it": func(c *storagev1.StorageClass) {
			c.Parameters["basepath"] = "/mnt/data"
		},
		"volumeBindingMode must be WaitForFirstConsumer": func(c *storagev1.StorageClass) {
			c.VolumeBindingMode = new(storagev1.VolumeBindingImmediate)
		},
		"reclaimPolicy must be Retain": func(c *storagev1.StorageClass) {
			c.ReclaimPolicy = new(corev1.PersistentVolumeReclaimDelete)
		},
	} {
		class := &storagev1.StorageClass{
			ObjectMeta:        metav1.ObjectMeta{Name: "c"},
			Parameters:        map[string]string{"basePath": "/mnt/data"},
			VolumeBindingMode: new(storagev1.VolumeBindingWaitForFirstConsumer),
			ReclaimPolicy:     new(corev1.PersistentVolumeReclaimRetain),
		}
		change(class)
		parsed, err := spec.ParseClass(class, settings)
		if message == "" {
			require.NoError(t, err)
			require.Equal(t, spec.Class{Name: "c", BasePath: "/mnt/data", PathPattern: "{namespace}/{claim}"}, parsed)
			continue
		}
		require.ErrorContains(t, err, "StorageClass c: "+message)
	}
}
