package integration

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/pkg/testkit"
)

// storageOfSeed000 are the blocks of seed 000, byte for byte, under a KafkaConnect.
const storageOfSeed000 = `
apiVersion: io.confluent.csid/v1
kind: KafkaConnect
metadata:
    name: odf-connect-cluster
spec:
    image: runner:1
    workerConfigSecret:
      name: worker-config
    storage:
      type: persistent-claim
      size: 1Gi
      class: rook-cephfs
      deleteClaim: false
      mountPath: /mnt/shared
    template:
      pod:
        securityContext:
          runAsNonRoot: false
          fsGroup: 1001
`

const theClaim = "data-odf-connect-cluster-connect"

func referringTo(connect, name string) string {
	return fmt.Sprintf("---\napiVersion: io.confluent.csid/v1\nkind: KafkaConnector\nmetadata: {name: %s}\nspec:\n  connectRef: {name: %s}\n  connectorConfig: {connector.class: FileStreamSink, tasks.max: \"2\"}\n", name, connect)
}

func (r *place) claims() []corev1.PersistentVolumeClaim {
	r.Helper()
	list, err := r.cp.Client().CoreV1().PersistentVolumeClaims(r.namespace).List(r.Context(), metav1.ListOptions{})
	require.NoError(r, err)
	return list.Items
}

// bind gives a claim a volume, as a provisioner does.
func (r *place) bind(claim, class, size string, mode corev1.PersistentVolumeAccessMode) {
	r.Helper()
	name := "pv-" + r.namespace + "-" + claim
	_, err := r.cp.Client().CoreV1().PersistentVolumes().Create(r.Context(), &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName: class, AccessModes: []corev1.PersistentVolumeAccessMode{mode},
			Capacity:               corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)},
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/srv"}},
			ClaimRef:               &corev1.ObjectReference{Namespace: r.namespace, Name: claim},
		},
	}, metav1.CreateOptions{})
	require.NoError(r, err)
	r.Cleanup(func() {
		_ = r.cp.Client().CoreV1().PersistentVolumes().Delete(context.Background(), name, metav1.DeleteOptions{})
	})
}

func (r *place) connect(name string) *connectv1.KafkaConnect {
	r.Helper()
	c, err := r.weir.IoV1().KafkaConnects(r.namespace).Get(r.Context(), name, metav1.GetOptions{})
	require.NoError(r, err)
	return c
}

func (r *place) waitConnect(name, kind string, status metav1.ConditionStatus, reason string) {
	r.Helper()
	testkit.Eventually(r, patience, func(context.Context) error {
		return is(r.connect(name).Status.Conditions, kind, status, reason)
	})
}

func TestTheStorageOfSeed000IsOneVolumeInEveryPod(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.worker()
	r.bind(theClaim, "rook-cephfs", "1Gi", corev1.ReadWriteMany)
	r.apply(storageOfSeed000 + referringTo("odf-connect-cluster", "sink") + referringTo("odf-connect-cluster", "source"))
	r.waitReady("sink", 2)
	r.waitReady("source", 2)
	claims := r.claims()
	require.Len(t, claims, 1)
	require.Equal(t, theClaim, claims[0].Name)
	require.Equal(t, []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}, claims[0].Spec.AccessModes)
	require.Equal(t, "rook-cephfs", *claims[0].Spec.StorageClassName)
	size := claims[0].Spec.Resources.Requests[corev1.ResourceStorage]
	require.Equal(t, "1Gi", size.String())
	for _, pod := range []string{"sink-connector-0", "sink-tasks-0", "sink-tasks-1", "source-connector-0", "source-tasks-0", "source-tasks-1"} {
		spec := r.pod(pod).Spec
		mount := sharedMount(r.pod(pod))
		require.Equal(t, "/mnt/shared", mount.MountPath, pod)
		require.Equal(t, theClaim, volume(t, spec, mount.Name).PersistentVolumeClaim.ClaimName, pod)
		require.False(t, *spec.SecurityContext.RunAsNonRoot, pod)
		require.EqualValues(t, 1001, *spec.SecurityContext.FSGroup, pod)
	}
	r.waitConnect("odf-connect-cluster", "StorageReady", metav1.ConditionTrue, "Bound")
	testkit.Eventually(t, patience, func(context.Context) error {
		if n := r.connect("odf-connect-cluster").Status.Connectors; n != 2 {
			return fmt.Errorf("%d connectors", n)
		}
		return nil
	})
	r.waitCondition("sink", "StorageReady", metav1.ConditionTrue, "Bound")
}

func volume(t *testing.T, spec corev1.PodSpec, name string) corev1.Volume {
	t.Helper()
	for _, v := range spec.Volumes {
		if v.Name == name {
			return v
		}
	}
	t.Fatalf("there is no volume %s", name)
	return corev1.Volume{}
}

func TestAClaimIsKeptAndAdoptedAgainUnlessItMayGo(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.worker()
	r.apply(storageOfSeed000)
	r.waitConnect("odf-connect-cluster", "StorageReady", metav1.ConditionFalse, "")
	kept := r.claims()[0].UID
	again := func() {
		_, err := r.cp.Kubectl(t.Context(), "delete", "kafkaconnect/odf-connect-cluster", "-n", r.namespace, "--wait=true")
		require.NoError(t, err)
		r.apply(storageOfSeed000)
		r.waitConnect("odf-connect-cluster", "StorageReady", metav1.ConditionFalse, "")
	}
	again()
	require.Equal(t, kept, r.claims()[0].UID, "the same claim")

	_, err := r.cp.Kubectl(t.Context(), "patch", "kafkaconnect/odf-connect-cluster", "-n", r.namespace, "--type=merge", "-p", `{"spec":{"storage":{"deleteClaim":true}}}`)
	require.NoError(t, err)
	testkit.Eventually(t, patience, func(context.Context) error {
		if len(r.claims()[0].OwnerReferences) == 0 {
			return fmt.Errorf("the claim has no owner yet")
		}
		return nil
	})
	_, err = r.cp.Kubectl(t.Context(), "delete", "kafkaconnect/odf-connect-cluster", "-n", r.namespace)
	require.NoError(t, err)
	testkit.Eventually(t, patience, func(context.Context) error {
		if n := len(r.claims()); n > 0 {
			return fmt.Errorf("%d claims", n)
		}
		return nil
	})
}

func TestAProvisionersTroubleIsToldInItsOwnWords(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.worker()
	r.apply(storageOfSeed000)
	began := time.Now()
	r.waitConnect("odf-connect-cluster", "StorageReady", metav1.ConditionFalse, "ProvisioningFailed")
	t.Logf("told after %s", time.Since(began).Round(time.Millisecond))
	for _, c := range r.connect("odf-connect-cluster").Status.Conditions {
		if c.Type == "StorageReady" {
			require.Equal(t, `claim data-odf-connect-cluster-connect: storageclass.storage.k8s.io "rook-cephfs" not found`, c.Message)
		}
	}
}

func TestAClassThatWaitsForItsFirstConsumerGetsOne(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.worker()
	class := "wait-" + r.namespace
	_, err := r.cp.ApplyYAML(t.Context(), "", "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: "+class+"}\nprovisioner: kubernetes.io/no-provisioner\nvolumeBindingMode: WaitForFirstConsumer\n")
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = r.cp.Client().StorageV1().StorageClasses().Delete(context.Background(), class, metav1.DeleteOptions{})
	})
	r.bindUnclaimed(class)
	r.apply(manifest("test", 1) + "  storage: {size: 1Gi, class: " + class + "}\n")
	r.waitReady("test", 1)
	r.waitCondition("test", "StorageReady", metav1.ConditionTrue, "Bound")
	require.Equal(t, "data-test-connect", r.claims()[0].Name)
	require.Equal(t, "/var/lib/kafka/data", sharedMount(r.pod("test-tasks-0")).MountPath)
}

// bindUnclaimed makes a volume that any claim of the class may get.
func (r *place) bindUnclaimed(class string) {
	r.Helper()
	_, err := r.cp.ApplyYAML(r.Context(), "", `
apiVersion: v1
kind: PersistentVolume
metadata: {name: `+class+`}
spec:
  storageClassName: `+class+`
  accessModes: [ReadWriteMany, ReadWriteOnce]
  capacity: {storage: 1Gi}
  hostPath: {path: /srv}
`)
	require.NoError(r, err)
	r.Cleanup(func() {
		_ = r.cp.Client().CoreV1().PersistentVolumes().Delete(context.Background(), class, metav1.DeleteOptions{})
	})
}

// sharedMount is the mount of the shared volume.
func sharedMount(pod *corev1.Pod) corev1.VolumeMount {
	for _, mount := range pod.Spec.Containers[0].VolumeMounts {
		if mount.Name == "weir-storage" {
			return mount
		}
	}
	return corev1.VolumeMount{}
}

func TestAVolumeOfOneNodeKeepsAllPodsOnIt(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.worker()
	r.bind("data-test-connect", "local", "1Gi", corev1.ReadWriteOnce)
	r.apply(manifest("test", 4) + "  storage: {size: 1Gi, class: local, accessMode: ReadWriteOnce}\n")
	c := r.waitReady("test", 4)
	for _, task := range c.Status.Tasks {
		require.Equal(t, c.Status.Connector.Node, task.Node)
	}
	r.waitCondition("test", "StorageReady", metav1.ConditionTrue, "BoundToOneNode")
}

func TestARefusedChangeLeavesTheClaimAndThePodsAlone(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.worker()
	r.bind("data-test-connect", "", "1Gi", corev1.ReadWriteMany)
	with := func(storage string) string { return manifest("test", 1) + "  storage: {" + storage + "}\n" }
	r.apply(with("size: 1Gi"))
	r.waitReady("test", 1)
	before, claim := r.uids(), r.claims()[0]
	require.Contains(t, r.refused(with("size: 512Mi")), "storage.size may grow but not shrink: a volume cannot be made smaller without losing data")
	require.Contains(t, r.refused(with("size: 1Gi, class: other")), "storage.class cannot be changed: the data would stay behind on the old volume")
	require.Contains(t, r.refused(with("size: 1Gi, accessMode: ReadWriteOnce")), "storage.accessMode cannot be changed on an existing claim")

	// A volume whose class cannot grow: the API's own words are told, and nothing else changes.
	r.apply(with("size: 2Gi"))
	c := r.waitCondition("test", "StorageReady", metav1.ConditionFalse, "ApplyRejected")
	require.Contains(t, c.Message, "apply PersistentVolumeClaim data-test-connect")
	require.Contains(t, c.Message, "must support resize")
	require.Equal(t, claim.Spec, r.claims()[0].Spec)
	require.Empty(t, r.restarted(before))
}

func TestAClaimOfSomebodyElseIsNotTaken(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.worker()
	r.apply("apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data-test-connect}\nspec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}\n")
	r.apply(manifest("test", 1) + "  storage: {size: 1Gi}\n")
	r.waitCondition("test", "ConfigValid", metav1.ConditionFalse, "ClaimTaken")
	require.Empty(t, r.uids())
	r.apply(manifest("test", 1) + "  storage: {existingClaim: data-test-connect, mountPath: /mnt/shared}\n")
	r.waitFor("test", func(c *connectv1.KafkaConnector) error {
		return is(c.Status.Conditions, "ConfigValid", metav1.ConditionTrue, "")
	})
	require.Equal(t, map[string]string(nil), r.claims()[0].Labels, "a claim that is only used is not touched")
}

func TestFilesOfLogsAreOnTheVolume(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.worker()
	r.bind("data-test-connect", "", "1Gi", corev1.ReadWriteMany)
	r.apply(manifest("test", 1) + `  storage: {size: 1Gi, mountPath: /mnt/shared, subPath: "$(CONNECTOR_NAME)"}
  loggingConfig: {file: logs/connect.log}
  template: {container: {jvmOptions: ["-Xlog:gc*:file=/mnt/shared/gc-$(POD_NAME).log"]}}
`)
	r.waitReady("test", 1)
	files, err := r.cp.Client().CoreV1().ConfigMaps(r.namespace).Get(t.Context(), "test-tasks", metav1.GetOptions{})
	require.NoError(t, err)
	require.Contains(t, files.Data["runner.json"], `"logFile":"/mnt/shared/logs/$(POD_NAME)-connect.log"`)
	require.Contains(t, files.Data["runner.json"], "gc-$(POD_NAME).log")
	require.Equal(t, "$(CONNECTOR_NAME)", sharedMount(r.pod("test-tasks-0")).SubPathExpr)
}
