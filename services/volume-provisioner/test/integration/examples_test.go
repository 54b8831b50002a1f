package integration

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/volume-provisioner/test/testenv"
)

// examples has a test for each file of deploy/examples/volume-provisioner. agents are those of three nodes with an SSD;
// one more node has none.
var examples = map[string]func(e *testenv.Env, file string, agents map[string]*testenv.Agent){
	"adopt.yaml":        adoptExample,
	"brokers.yaml":      brokersExample,
	"confluent.yaml":    confluentExample,
	"storageclass.yaml": storageClassExample,
}

func TestEveryExampleBecomesReady(t *testing.T) {
	t.Parallel()
	// The examples are for all nodes of a cluster and for the namespace default, so they need their own control plane.
	cp := testkit.New(t, testkit.WithNodes(0))
	account, err := testenv.Install(t.Context(), cp)
	require.NoError(t, err)
	e := testenv.At(t, cp, "default")
	testenv.Start(t, func(ctx context.Context) error { return testenv.Run(ctx, account) })
	e.Nodes(1)
	names, started := e.Nodes(3, testkit.NodeLabels(map[string]string{"disk": "ssd"}), testkit.NodeZones("a", "b", "c"))
	agents := map[string]*testenv.Agent{}
	for i, name := range names {
		agents[name] = started[i]
	}
	files, err := filepath.Glob(testenv.Deploy("examples", "volume-provisioner", "*.yaml"))
	require.NoError(t, err)
	var found []string
	for _, file := range files {
		name := filepath.Base(file)
		found = append(found, name)
		t.Run(name, func(t *testing.T) {
			require.Contains(t, examples, name, "this example has no test")
			examples[name](testenv.At(t, cp, "default"), file, agents)
		})
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(examples)), found)
}

func applyFile(e *testenv.Env, file string) {
	e.Helper()
	_, err := e.ControlPlane.ApplyFiles(e.Context(), "", file)
	require.NoError(e, err)
}

// storageClassExample checks that the agents report the base path of the class.
func storageClassExample(e *testenv.Env, file string, _ map[string]*testenv.Agent) {
	applyFile(e, file)
	e.Nodes(1)
	e.Eventually(func(ctx context.Context) error {
		nodes, err := e.Weir.StorageV1alpha1().LocalVolumeNodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, node := range nodes.Items {
			if !slices.ContainsFunc(node.Status.FileSystems, func(fs storagev1alpha1.FileSystemStatus) bool {
				return fs.BasePath == "/mnt/data"
			}) {
				return fmt.Errorf("node %s does not report the base path: %+v", node.Name, node)
			}
		}
		return nil
	})
}

// confluentExample compares the PersistentVolumes with those that users of the chart write by hand.
func confluentExample(e *testenv.Env, file string, _ map[string]*testenv.Agent) {
	applyFile(e, file)
	e.WaitReady("cp-helm-charts", "9/9", 0)
	content, err := os.ReadFile(filepath.Join("..", "..", "internal", "decide", "testdata", "confluent-volumes.yaml"))
	require.NoError(e, err)
	byHand, err := testkit.DecodeYAML(string(content))
	require.NoError(e, err)
	require.Len(e, byHand, 9)
	for _, want := range byHand {
		live, err := e.ControlPlane.Dynamic().Resource(corev1.SchemeGroupVersion.WithResource("persistentvolumes")).
			Get(e.Context(), want.GetName(), metav1.GetOptions{})
		require.NoError(e, err)
		// The node differs: pc in the manifest.
		affinity := live.Object["spec"].(map[string]any)["nodeAffinity"]
		require.Regexp(e, `key:kubernetes.io/hostname operator:In values:\[node-\d+\]`, fmt.Sprint(affinity))
		want.Object["spec"].(map[string]any)["nodeAffinity"] = affinity
		require.Equal(e, want.Object["spec"], live.Object["spec"])
	}
}

// brokersExample checks the placement on the labelled nodes and the directory of the namespace.
func brokersExample(e *testenv.Env, file string, agents map[string]*testenv.Agent) {
	applyFile(e, file)
	set := e.WaitReady("brokers", "5/5", 0)
	replicas := map[string]int{}
	for _, v := range set.Status.Volumes {
		require.Contains(e, agents, v.Node, "only these nodes have the label")
		require.Equal(e, "/mnt/data/default/"+v.Claim, v.Path)
		require.NotNil(e, testenv.ReadMarker(filepath.Join(agents[v.Node].Root, v.Path)))
		replicas[v.Node]++
	}
	require.ElementsMatch(e, []int{2, 2, 1}, slices.Collect(maps.Values(replicas)), "brokers per zone")
}

// adoptExample makes directories with data and PersistentVolumes by hand before it applies the set.
func adoptExample(e *testenv.Env, file string, agents map[string]*testenv.Agent) {
	names := slices.Sorted(maps.Keys(agents))
	uids := map[string]string{}
	for i, node := range names {
		claim := fmt.Sprintf("data-existing-%d", i)
		directory := filepath.Join(agents[node].Root, "mnt", "data", claim)
		require.NoError(e, os.MkdirAll(directory, 0o750))
		require.NoError(e, os.WriteFile(filepath.Join(directory, "records"), []byte(claim), 0o600))
		e.Apply(strings.NewReplacer("CLAIM", claim, "NODE", node).Replace(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: CLAIM}
spec:
  claimRef: {name: CLAIM, namespace: default}
  capacity: {storage: 10Gi}
  volumeMode: Filesystem
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: local-storage
  local: {path: /mnt/data/CLAIM}
  nodeAffinity:
    required:
      nodeSelectorTerms:
      - matchExpressions:
        - {key: kubernetes.io/hostname, operator: In, values: [NODE]}
`))
		uids[claim] = string(e.PV(claim).UID)
	}
	applyFile(e, file)
	set := e.WaitReady("existing", "3/3", 0)
	for _, v := range set.Status.Volumes {
		require.Equal(e, uids[v.Claim], string(e.PV(v.PV).UID), "the PersistentVolume is adopted, not replaced")
		require.Equal(e, "true", e.PV(v.PV).Labels["weir.dev/local-volume"])
		directory := filepath.Join(agents[v.Node].Root, v.Path)
		data, err := os.ReadFile(filepath.Join(directory, "records"))
		require.NoError(e, err)
		require.Equal(e, v.Claim, string(data))
		marker := testenv.ReadMarker(directory)
		require.NotNil(e, marker)
		require.Equal(e, "default/"+v.Claim, marker.ID)
	}
}
