package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/volume-provisioner/test/testenv"
)

const statefulSet = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: kafka}
spec:
  replicas: %d
  serviceName: kafka
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: kafka}}
  template:
    metadata: {labels: {app: kafka}}
    spec:
      terminationGracePeriodSeconds: 0
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
          - {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: kafka}}}
      containers: [{name: kafka, image: kafka, volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      storageClassName: weir-local
      accessModes: [ReadWriteOnce]
      resources: {requests: {storage: 10Gi}}
`

// cluster is a control plane with the StorageClass. It is not shared, because the class is for all nodes.
type cluster struct {
	*testenv.Env
	agents map[string]*testenv.Agent
}

func newCluster(t *testing.T) (*cluster, []string) {
	t.Helper()
	cp := testkit.New(t, testkit.WithNodes(0))
	account, err := testenv.Install(t.Context(), cp)
	require.NoError(t, err)
	testenv.Start(t, func(ctx context.Context) error { return testenv.Run(ctx, account) })
	c := &cluster{testenv.At(t, cp, cp.Namespace(t)), map[string]*testenv.Agent{}}
	names, err := cp.AddNodes(t.Context(), 4)
	require.NoError(t, err)
	for i, name := range names {
		agent := &testenv.Agent{Node: name, Machine: "machine-" + name, Root: filepath.Join(t.TempDir(), name)}
		if i == 0 {
			agent.Capacity = 5 << 30
		}
		agent.Start(c.Env)
		c.agents[name] = agent
	}
	_, err = cp.ApplyFiles(t.Context(), "", testenv.Deploy("examples", "volume-provisioner", "storageclass.yaml"))
	require.NoError(t, err)
	return c, names
}

func (c *cluster) cordon(is bool, nodes ...string) {
	c.Helper()
	for _, node := range nodes {
		_, err := c.ControlPlane.Kubectl(c.Context(), "patch", "node", node, "-p",
			fmt.Sprintf(`{"spec":{"unschedulable":%t}}`, is))
		require.NoError(c, err)
	}
}

// running waits until the pods of n replicas run, and returns the directories of their claims, as seen on this machine.
func (c *cluster) running(n int) map[string]string {
	c.Helper()
	found := map[string]string{}
	c.Eventually(func(ctx context.Context) error {
		for i := range n {
			pod, err := c.Client().CoreV1().Pods(c.Namespace).Get(ctx, fmt.Sprintf("kafka-%d", i), metav1.GetOptions{})
			if err != nil {
				return err
			}
			if pod.Status.Phase != corev1.PodRunning {
				return fmt.Errorf("pod %s is %s: %+v", pod.Name, pod.Status.Phase, pod.Status.Conditions)
			}
			name := fmt.Sprintf("data-kafka-%d", i)
			claim, err := c.Client().CoreV1().PersistentVolumeClaims(c.Namespace).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			pv := c.PV(claim.Spec.VolumeName)
			node := pv.Annotations[storagev1alpha1.AnnotationNode]
			if node != pod.Spec.NodeName {
				return fmt.Errorf("pod %s is on node %s, its volume on %s", pod.Name, pod.Spec.NodeName, node)
			}
			found[name] = filepath.Join(c.agents[node].Root, pv.Spec.Local.Path)
		}
		return nil
	})
	return found
}

// waitEvent waits for an event of a claim whose note contains the text.
func (c *cluster) waitEvent(claim, text string) {
	c.Helper()
	c.Eventually(func(ctx context.Context) error {
		list, err := c.Client().EventsV1().Events(c.Namespace).List(ctx, metav1.ListOptions{
			FieldSelector: "regarding.kind=PersistentVolumeClaim,reason=" + storagev1alpha1.EventProvisioningFailed,
		})
		if err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.Regarding.Name == claim && strings.Contains(e.Note, text) {
				return nil
			}
		}
		return fmt.Errorf("claim %s has no event with %q: %v", claim, text, notes(list.Items))
	})
}

func notes(events []eventsv1.Event) []string {
	var found []string
	for _, e := range events {
		found = append(found, e.Regarding.Name+": "+e.Note)
	}
	return found
}

func TestStatefulSetsThatNoSetDescribesGetTheirDirectoriesBack(t *testing.T) {
	t.Parallel()
	c, nodes := newCluster(t)
	// The first node is too small. The scheduler does not know that.
	c.cordon(true, nodes[1:]...)
	c.Apply(fmt.Sprintf(statefulSet, 2))
	c.waitEvent("data-kafka-0", "node "+nodes[0]+" cannot have the volume: replica 0 needs 10Gi and fits on no node")
	// The scheduler nominates the node that it has chosen, and tries it again before others.
	c.cordon(true, nodes[0])
	c.cordon(false, nodes[1:]...)
	before := c.running(2)
	for claim, directory := range before {
		require.Equal(t, c.Namespace+"/"+claim, testenv.ReadMarker(directory).ID)
		require.NoError(t, os.WriteFile(filepath.Join(directory, "data"), []byte(claim), 0o600))
	}

	// The chart is uninstalled with its claims, and installed again.
	_, err := c.ControlPlane.Kubectl(t.Context(), "delete", "statefulset,pvc", "--all", "--wait=true", "-n", c.Namespace)
	require.NoError(t, err)
	c.Apply(fmt.Sprintf(statefulSet, 2))
	require.Equal(t, before, c.running(2))
	for claim, directory := range before {
		content, err := os.ReadFile(filepath.Join(directory, "data"))
		require.NoError(t, err)
		require.Equal(t, claim, string(content))
	}

	// An agent that does not run delays a new claim on its node.
	free := ""
	for name, agent := range c.agents {
		if name != nodes[0] && !strings.HasPrefix(before["data-kafka-0"], agent.Root+"/") &&
			!strings.HasPrefix(before["data-kafka-1"], agent.Root+"/") {
			free = name
		}
	}
	c.agents[free].Stop()
	c.cordon(true, nodes[0])
	c.Apply(fmt.Sprintf(statefulSet, 3))
	c.Eventually(func(ctx context.Context) error {
		node, err := c.Weir.StorageV1alpha1().LocalVolumeNodes().Get(ctx, free, metav1.GetOptions{})
		if err == nil && len(node.Spec.Directories) != 1 {
			err = fmt.Errorf("node %s has no work: %+v", free, node.Spec)
		}
		return err
	})
	c.agents[free].Start(c.Env)
	third := c.running(3)["data-kafka-2"]
	require.True(t, strings.HasPrefix(third, c.agents[free].Root+"/"), third)

	// The node is deleted and comes back.
	uid := c.PV("data-kafka-2").UID
	deleteNode(c.Env, free)
	c.waitEvent("data-kafka-2", "node "+free+" does not exist; its directory /mnt/data/"+c.Namespace+
		"/data-kafka-2 is not touched")
	addNode(c.Env, free)
	require.Equal(t, uid, c.PV("data-kafka-2").UID)
	require.DirExists(t, third)
}
