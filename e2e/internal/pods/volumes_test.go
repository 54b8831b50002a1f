//go:build linux

package pods

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/kubelet"
)

// brokers is a set with three volumes, and the StatefulSet that uses them. Each pod writes its name to its volume when
// it starts for the first time, and fails when it finds another name.
const brokers = `
apiVersion: storage.weir.dev/v1alpha1
kind: KafkaLocalVolumeSet
metadata: {name: brokers}
spec:
  replicas: 3
  basePath: /mnt/data
  owner: {uid: 1000, fsGroup: 1000, mode: "0750"}
  templates:
  - {name: data, claimNamePattern: "data-kafka-{ordinal}", size: 1Gi}
`

const statefulSet = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: kafka}
spec:
  replicas: 3
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: kafka}}
  template:
    metadata: {labels: {app: kafka}}
    spec:
      securityContext: {runAsUser: 1000, runAsGroup: 1000, runAsNonRoot: true}
      terminationGracePeriodSeconds: 5
      containers:
      - name: kafka
        image: shell
        args:
        - |
          [ -e /data/owner ] || hostname >/data/owner
          [ "$(cat /data/owner)" = "$(hostname)" ] || { echo "the volume belongs to $(cat /data/owner)"; exit 1; }
          echo started >>/data/starts
          trap 'exit 0' TERM
          touch /tmp/ready
          while true; do sleep 0.2; done
        volumeMounts:
        - {name: data, mountPath: /data}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      storageClassName: local-storage
      accessModes: [ReadWriteOnce]
      resources: {requests: {storage: 1Gi}}
`

// volumes are three nodes with the Deployment and the DaemonSet of volume-provisioner, as they are shipped.
type volumes struct{ *cluster }

func startVolumes(t *testing.T) volumes {
	t.Helper()
	testkit.NeedsControlPlane(t)
	kubelet.Need(t)
	root, err := env.Root()
	require.NoError(t, err)
	const service = "volume-provisioner"
	v := volumes{startCluster(t, 3, kubelet.Config{Images: map[string]kubelet.Image{
		imageOf(service): binary(t, root, service), "shell": {Entrypoint: []string{"sh", "-c"}},
	}})}
	for _, node := range v.nodes {
		require.NoError(t, os.MkdirAll(filepath.Join(node.HostDir(), "mnt", "data"), 0o755))
	}
	v.install(root, service, "deployment/"+service, "daemonset/"+service+"-agent")
	return v
}

// started waits until each pod has started a number of times on its own directory.
func (v volumes) started(times int) {
	v.Helper()
	testkit.Eventually(v.T, timeout, func(ctx context.Context) error {
		for i := range 3 {
			name := fmt.Sprintf("kafka-%d", i)
			pod, err := v.cp.Client().CoreV1().Pods(v.namespace).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			node := v.nodes[pod.Spec.NodeName]
			if node == nil || pod.Status.Phase != corev1.PodRunning {
				return fmt.Errorf("%s is %s", name, pod.Status.Phase)
			}
			if log := node.Log(v.namespace, name, "kafka"); log != "" {
				return testkit.Permanent(fmt.Errorf("%s: %s", name, log))
			}
			claim, err := v.cp.Client().CoreV1().PersistentVolumeClaims(v.namespace).
				Get(ctx, "data-"+name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			pv, err := v.cp.Client().CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName, metav1.GetOptions{})
			if err != nil {
				return err
			}
			starts, err := os.ReadFile(filepath.Join(node.HostDir(), pv.Spec.Local.Path, "starts"))
			if err != nil {
				return err
			}
			if len(starts) != times*len("started\n") {
				return fmt.Errorf("%s has started %d times, not %d", name, len(starts)/len("started\n"), times)
			}
		}
		return nil
	})
}

func TestPodsFindTheirOwnDirectoriesWithTheShippedManifestsOfVolumeProvisioner(t *testing.T) {
	t.Parallel()
	v := startVolumes(t)
	v.apply(brokers)
	v.kubectl("wait", "--for=condition=Ready", "--timeout="+timeout.String(), "kafkalocalvolumeset/brokers")
	v.apply(statefulSet)
	v.started(1)

	// Reinstallations, while the containers of volume-provisioner are killed.
	for times := 2; times <= 3; times++ {
		v.kubectl("delete", "statefulset/kafka", "--cascade=foreground")
		v.kubectl("delete", "pvc", "--all")
		v.kill(env.Namespace)
		v.kill(privileged)
		v.apply(statefulSet)
		v.started(times)
	}

	// The pod of a lost node waits for its node. Its directory goes to no other.
	pod, err := v.cp.Client().CoreV1().Pods(v.namespace).Get(t.Context(), "kafka-1", metav1.GetOptions{})
	require.NoError(t, err)
	lost := pod.Spec.NodeName
	require.NoError(t, v.nodes[lost].Lose(t.Context()))
	err = v.cp.Client().CoreV1().Pods(v.namespace).
		Delete(t.Context(), "kafka-1", metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})
	require.NoError(t, err)
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		again, err := v.cp.Client().CoreV1().Pods(v.namespace).Get(ctx, "kafka-1", metav1.GetOptions{})
		if err == nil && (again.UID == pod.UID || again.Status.Phase != corev1.PodPending || again.Spec.NodeName != "") {
			err = fmt.Errorf("%s on node %q", again.Status.Phase, again.Spec.NodeName)
		}
		return err
	})
	// After an administrator has deleted the Node, the set tells what to do.
	require.NoError(t, v.cp.Client().CoreV1().Nodes().Delete(t.Context(), lost, metav1.DeleteOptions{}))
	message := v.kubectl("wait", "--for=condition=NodeLost", "--timeout="+timeout.String(), "kafkalocalvolumeset/brokers",
		"-o", `jsonpath={.status.conditions[?(@.type=="NodeLost")].message}`)
	assert.Contains(t, message, lost)
	owner, err := os.ReadFile(filepath.Join(v.nodes[lost].HostDir(), v.path("kafka-1"), "owner"))
	require.NoError(t, err)
	assert.Equal(t, "kafka-1\n", string(owner))
}

// path returns the directory of a pod's volume on its node.
func (v volumes) path(pod string) string {
	v.Helper()
	claim := v.kubectl("get", "pvc", "data-"+pod, "-o", "jsonpath={.spec.volumeName}")
	return v.kubectl("get", "pv", claim, "-o", "jsonpath={.spec.local.path}")
}
