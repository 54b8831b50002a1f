package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decidetest"
	"github.com/weir-dev/weir/services/volume-provisioner/test/testenv"
)

// manifest returns a set with claims that only this namespace uses, on the nodes.
func manifest(e *testenv.Env, replicas int, nodes []string, extra ...string) string {
	return fmt.Sprintf(`
apiVersion: storage.weir.dev/v1alpha1
kind: KafkaLocalVolumeSet
metadata: {name: s}
spec:
  replicas: %d
  basePath: /mnt/data/%s
  nodes: {list: [%s]}
  templates: [{name: data, claimNamePattern: "%s-{ordinal}", size: 1Gi}]
`, replicas, e.Namespace, strings.Join(nodes, ", "), e.Namespace) + strings.Join(extra, "\n")
}

func TestNineVolumesOfTheConfluentChartBindAndBindAgain(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	nodes, agents := e.Nodes(1)
	set := strings.Replace(decidetest.Confluent, "basePath: /mnt/data",
		fmt.Sprintf("basePath: /mnt/data/%s\n  nodes: {list: [%s]}", e.Namespace, nodes[0]), 1)
	e.Apply("apiVersion: storage.weir.dev/v1alpha1\nkind: KafkaLocalVolumeSet" + set)
	claims := testenv.Claims(e.WaitReady("cp", "9/9", 0))
	for _, claim := range claims {
		pv := e.PV(claim)
		require.Equal(t, "/mnt/data/"+e.Namespace+"/"+claim, pv.Spec.Local.Path)
		require.Equal(t, "true", pv.Labels["weir.dev/local-volume"])
	}
	cycles := 3
	if text := os.Getenv("WEIR_REINSTALL_CYCLES"); text != "" {
		var err error
		cycles, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	random, binds, wrong := rand.New(rand.NewPCG(1, 2)), 0, 0
	for range cycles {
		random.Shuffle(len(claims), func(i, j int) { claims[i], claims[j] = claims[j], claims[i] })
		e.CreateClaims("5Gi", claims...)
		e.WaitReady("cp", "9/9", 9)
		for _, claim := range claims {
			bound, err := e.Client().CoreV1().PersistentVolumeClaims(e.Namespace).Get(t.Context(), claim, metav1.GetOptions{})
			require.NoError(t, err)
			pv := e.PV(bound.Spec.VolumeName)
			binds++
			marker := testenv.ReadMarker(filepath.Join(agents[0].Root, pv.Spec.Local.Path))
			if marker == nil || marker.ID != e.Namespace+"/"+claim {
				wrong++
			}
		}
		random.Shuffle(len(claims), func(i, j int) { claims[i], claims[j] = claims[j], claims[i] })
		e.DeleteClaims(claims...)
		e.WaitReady("cp", "9/9", 0)
	}
	t.Logf("%d binds, %d to a wrong directory", binds, wrong)
	require.Zero(t, wrong)
	require.Equal(t, int64(binds), e.Set("cp").Status.Rebinds)
}

func TestReplicasAreSpreadOverNodesAndStayThere(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	nodes, _ := e.Nodes(3)
	e.Apply(manifest(e, 3, nodes))
	set := e.WaitReady("s", "3/3", 0)
	var used []string
	for _, v := range set.Status.Volumes {
		used = append(used, v.Node)
	}
	require.ElementsMatch(t, nodes, used)
	// The set is restored from Git: a new object without status.
	require.NoError(t, e.Weir.StorageV1alpha1().KafkaLocalVolumeSets(e.Namespace).Delete(t.Context(), "s",
		metav1.DeleteOptions{}))
	require.NotEmpty(t, e.PV(e.Namespace+"-0").Name, "the PersistentVolumes of a deleted set are kept")
	slices.Reverse(nodes)
	e.Apply(manifest(e, 3, nodes))
	again := e.WaitReady("s", "3/3", 0)
	for i, v := range again.Status.Volumes {
		require.Equal(t, used[i], v.Node)
	}
}

func TestSizesBeyondTheFileSystemAreReported(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	nodes, _ := e.Nodes(1)
	e.Apply(strings.Replace(manifest(e, 2, nodes), "1Gi", "500Gi", 1))
	message := e.WaitCondition("s", "CapacityOK", metav1.ConditionFalse, "InsufficientCapacity")
	require.Contains(t, message, "replica 1 needs 500Gi and fits on no node")
	e.WaitReady("s", "1/2", 0)
}

// Placements are decided one after the other and written at the same time.
func TestSetsThatAreCreatedAtTheSameTimeNeverReserveTheSameSpace(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	nodes, _ := e.Nodes(1)
	const sets, fit = 12, 4
	var all strings.Builder
	for i := range sets {
		name := fmt.Sprintf("s%d", i)
		all.WriteString("---" + strings.NewReplacer("{name: s}", "{name: "+name+"}", e.Namespace+"-{", name+"-"+e.Namespace+
			"-{", "1Gi", "200Gi").Replace(manifest(e, 1, nodes)))
	}
	e.Apply(all.String())
	e.Eventually(func(ctx context.Context) error {
		list, err := e.Weir.StorageV1alpha1().KafkaLocalVolumeSets(e.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		ready, refused := 0, 0
		for _, set := range list.Items {
			switch c := meta.FindStatusCondition(set.Status.Conditions, "CapacityOK"); {
			case set.Status.Ready == "1/1":
				ready++
			case c != nil && c.Reason == "InsufficientCapacity":
				refused++
			}
		}
		require.LessOrEqual(t, ready, fit, "the file system has 1Ti, of which 10 % stay free")
		if ready+refused != sets || ready != fit {
			return fmt.Errorf("%d sets are ready and %d have no room", ready, refused)
		}
		return nil
	})
}

func TestEditedPersistentVolumeIsRestored(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	nodes, _ := e.Nodes(1)
	e.Apply(manifest(e, 1, nodes))
	e.WaitReady("s", "1/1", 0)
	_, err := e.ControlPlane.Kubectl(t.Context(), "patch", "pv", e.Namespace+"-0", "--type=merge", "-p",
		`{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}`)
	require.NoError(t, err)
	e.Eventually(func(context.Context) error {
		policy := e.PV(e.Namespace + "-0").Spec.PersistentVolumeReclaimPolicy
		if policy != corev1.PersistentVolumeReclaimRetain {
			return fmt.Errorf("the policy is %s", policy)
		}
		return nil
	})
}

func TestVolumesGrowTogetherWithTheirClaims(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	nodes, _ := e.Nodes(1)
	e.Apply(manifest(e, 1, nodes))
	e.CreateClaims("1Gi", e.Namespace+"-0")
	e.WaitReady("s", "1/1", 1)
	e.Apply(strings.Replace(manifest(e, 1, nodes), "1Gi", "2Gi", 1))
	_, err := e.ControlPlane.Kubectl(
		t.Context(), "patch", "pvc", e.Namespace+"-0", "-n", e.Namespace, "--type=merge", "-p",
		`{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}`)
	require.NoError(t, err)
	e.Eventually(func(ctx context.Context) error {
		claim, err := e.Client().CoreV1().PersistentVolumeClaims(e.Namespace).Get(ctx, e.Namespace+"-0", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if size := claim.Status.Capacity[corev1.ResourceStorage]; size.String() != "2Gi" {
			return fmt.Errorf("the claim has %s", size.String())
		}
		return nil
	})
}

func TestRenamedNodeKeepsItsVolumes(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	nodes, agents := e.Nodes(1)
	all := strings.Replace(manifest(e, 1, nodes), fmt.Sprintf("list: [%s]", nodes[0]),
		fmt.Sprintf("selector: {matchLabels: {test: %s}}", e.Namespace), 1)
	label := func(node string) {
		_, err := e.ControlPlane.Kubectl(t.Context(), "label", "node", node, "test="+e.Namespace)
		require.NoError(t, err)
	}
	label(nodes[0])
	e.Apply(all)
	e.WaitReady("s", "1/1", 0)
	agents[0].Stop()
	require.NoError(t, e.Client().CoreV1().Nodes().Delete(t.Context(), nodes[0], metav1.DeleteOptions{}))
	message := e.WaitCondition("s", "NodeLost", metav1.ConditionTrue, "NodeDeleted")
	require.Contains(t, message, "node "+nodes[0]+" does not exist")
	renamed, err := e.ControlPlane.AddNodes(t.Context(), 1)
	require.NoError(t, err)
	label(renamed[0])
	(&testenv.Agent{Node: renamed[0], Machine: agents[0].Machine, Root: agents[0].Root}).Start(e)
	set := e.WaitReady("s", "1/1", 0)
	require.Equal(t, renamed[0], set.Status.Volumes[0].Node)
	terms := e.PV(e.Namespace + "-0").Spec.NodeAffinity.Required.NodeSelectorTerms
	require.Equal(t, renamed, terms[0].MatchExpressions[0].Values)
}

func replace(text, old, replacement string) string { return strings.ReplaceAll(text, old, replacement) }

func waitForWipe(e *testenv.Env, name string, state storagev1alpha1.WipeState) {
	e.Helper()
	e.Eventually(func(ctx context.Context) error {
		wipe, err := e.Weir.StorageV1alpha1().VolumeWipes(e.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if wipe.Status.State != state {
			return fmt.Errorf("the VolumeWipe is %s: %s", wipe.Status.State, wipe.Status.Message)
		}
		return nil
	})
}
