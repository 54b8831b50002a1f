package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

// strimziStorage is a KafkaConnect with the storage and template blocks of Strimzi proposal 112, byte for byte.
const strimziStorage = `
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

const (
	strimziConnect = "odf-connect-cluster"
	strimziClaim   = "data-odf-connect-cluster-connect"
)

// connectorOf returns a YAML document with a KafkaConnector of two tasks that refers to a KafkaConnect.
func connectorOf(connect, name string) string {
	return fmt.Sprintf(`---
apiVersion: io.confluent.csid/v1
kind: KafkaConnector
metadata: {name: %s}
spec:
  connectRef: {name: %s}
  connectorConfig: {connector.class: FileStreamSink, tasks.max: "2"}
`, name, connect)
}

// withStorage returns a KafkaConnector named test with these fields of storage.
func withStorage(tasks int, storage string) string {
	return testenv.Manifest("test", tasks) + "  storage: {" + storage + "}\n"
}

// storageMount returns the mount of the shared volume.
func storageMount(pod *corev1.Pod) corev1.VolumeMount {
	for _, mount := range pod.Spec.Containers[0].VolumeMounts {
		if mount.Name == "weir-storage" {
			return mount
		}
	}
	return corev1.VolumeMount{}
}

func claimOf(pod *corev1.Pod, volume string) string {
	for _, v := range pod.Spec.Volumes {
		if v.Name == volume && v.PersistentVolumeClaim != nil {
			return v.PersistentVolumeClaim.ClaimName
		}
	}
	return ""
}

func TestStrimziProposal112StorageIsOneClaimInEveryPod(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.ApplyWorkerConfig()
	env.BindClaim(strimziClaim, "rook-cephfs", "1Gi", corev1.ReadWriteMany)
	env.Apply(strimziStorage + connectorOf(strimziConnect, "sink") + connectorOf(strimziConnect, "source"))
	env.WaitReady("sink", 2)
	env.WaitReady("source", 2)
	claims := env.Claims()
	require.Len(t, claims, 1)
	require.Equal(t, strimziClaim, claims[0].Name)
	require.Equal(t, []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}, claims[0].Spec.AccessModes)
	require.Equal(t, "rook-cephfs", *claims[0].Spec.StorageClassName)
	size := claims[0].Spec.Resources.Requests[corev1.ResourceStorage]
	require.Equal(t, "1Gi", size.String())
	for _, name := range []string{
		"sink-connector-0", "sink-tasks-0", "sink-tasks-1", "source-connector-0", "source-tasks-0", "source-tasks-1",
	} {
		pod := env.Pod(name)
		mount := storageMount(pod)
		require.Equal(t, "/mnt/shared", mount.MountPath, name)
		require.Equal(t, strimziClaim, claimOf(pod, mount.Name), name)
		require.False(t, *pod.Spec.SecurityContext.RunAsNonRoot, name)
		require.EqualValues(t, 1001, *pod.Spec.SecurityContext.FSGroup, name)
	}
	env.WaitConnectCondition(strimziConnect, "StorageReady", metav1.ConditionTrue, "Bound")
	env.Eventually(func(context.Context) error {
		if n := env.Connect(strimziConnect).Status.Connectors; n != 2 {
			return fmt.Errorf("status.connectors is %d", n)
		}
		return nil
	})
	env.WaitCondition("sink", "StorageReady", metav1.ConditionTrue, "Bound")
}

func TestClaimIsKeptAndAdopted(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.ApplyWorkerConfig()
	env.Apply(strimziStorage)
	env.WaitConnectCondition(strimziConnect, "StorageReady", metav1.ConditionFalse, "")
	kept := env.Claims()[0].UID
	env.Kubectl("delete", "kafkaconnect/"+strimziConnect, "--wait=true")
	env.Apply(strimziStorage)
	env.WaitConnectCondition(strimziConnect, "StorageReady", metav1.ConditionFalse, "")
	require.Equal(t, kept, env.Claims()[0].UID)
}

func TestDeleteClaimDeletesTheClaimWithItsOwner(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.ApplyWorkerConfig()
	env.Apply(strimziStorage)
	env.WaitConnectCondition(strimziConnect, "StorageReady", metav1.ConditionFalse, "")
	patch := `{"spec":{"storage":{"deleteClaim":true}}}`
	env.Kubectl("patch", "kafkaconnect/"+strimziConnect, "--type=merge", "-p", patch)
	env.Eventually(func(context.Context) error {
		if len(env.Claims()[0].OwnerReferences) == 0 {
			return errors.New("the claim has no owner")
		}
		return nil
	})
	env.Kubectl("delete", "kafkaconnect/"+strimziConnect)
	env.WaitGone("persistentvolumeclaims")
}

func TestProvisioningFailureIsReported(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.ApplyWorkerConfig()
	env.Apply(strimziStorage)
	c := env.WaitConnectCondition(
		strimziConnect, "StorageReady", metav1.ConditionFalse, connectv1.ReasonStorageClassNotFound,
	)
	require.Contains(t, c.Message, `StorageClass "rook-cephfs" of claim data-odf-connect-cluster-connect not found`)
	env.Eventually(func(context.Context) error {
		c := meta.FindStatusCondition(env.Connect(strimziConnect).Status.Conditions, "StorageReady")
		command := "&& kubectl delete pvc " + strimziClaim + " -n " + env.Namespace
		if !strings.Contains(c.Message, command) {
			return fmt.Errorf("no command that deletes the claim, which holds no data: %s", c.Message)
		}
		return nil
	})
	env.Apply(connectorOf(strimziConnect, "sink"))
	env.WaitCondition("sink", "Ready", metav1.ConditionFalse, connectv1.ReasonStorageClassNotFound)
	require.Empty(t, env.PodUIDs(), "pods of an unusable volume would stay Pending")
	env.BindClaim(strimziClaim, "rook-cephfs", "1Gi", corev1.ReadWriteMany)
	env.WaitReady("sink", 2)
}

func TestUnusableVolumeDoesNotRestartRunningPods(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 2)
	before := env.PodUIDs()
	env.Apply(withStorage(2, "existingClaim: later, mountPath: /mnt/shared"))
	c := env.WaitCondition("test", "Ready", metav1.ConditionFalse, connectv1.ReasonClaimNotFound)
	require.Contains(t, c.Message, `storage.existingClaim "later"`)
	env.WaitTasks("test", "2/2")
	require.Empty(t, env.Restarted(before))

	// The claim exists and stays Pending, because no volume matches: only the connector's pod waits for it.
	env.Apply(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: later}
spec: {accessModes: [ReadWriteMany], storageClassName: "", resources: {requests: {storage: 1Gi}}}
`)
	env.WaitRestarted(before, 1)
	env.WaitTasks("test", "2/2")
	require.Equal(t, []string{"test-connector-0"}, env.Restarted(before))
	env.BindClaim("later", "", "1Gi", corev1.ReadWriteMany)
	env.WaitRestarted(before, 3)
	env.WaitReady("test", 2)
}

func TestLongNameOfAnExistingClaimIsNotALabel(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.ApplyWorkerConfig()
	claim := strings.Repeat("long-", 14) + "claim"
	env.Apply(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: ` + claim + `}
spec: {accessModes: [ReadWriteMany], storageClassName: "", resources: {requests: {storage: 1Gi}}}
`)
	env.BindClaim(claim, "", "1Gi", corev1.ReadWriteMany)
	env.Apply(withStorage(1, "existingClaim: "+claim))
	env.WaitReady("test", 1)
	require.Equal(t, claim, claimOf(env.Pod("test-tasks-0"), "weir-storage"))
}

func TestWaitForFirstConsumerClaimBinds(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.ApplyWorkerConfig()
	class := "wait-" + env.Namespace
	env.Apply(`
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: ` + class + `}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
`)
	t.Cleanup(func() {
		_ = env.Client().StorageV1().StorageClasses().Delete(context.Background(), class, metav1.DeleteOptions{})
	})
	env.CreateVolume(class)
	env.Apply(withStorage(1, "size: 1Gi, class: "+class))
	env.WaitReady("test", 1)
	env.WaitCondition("test", "StorageReady", metav1.ConditionTrue, "Bound")
	require.Equal(t, "data-test-connect", env.Claims()[0].Name)
	require.Equal(t, "/var/lib/kafka/data", storageMount(env.Pod("test-tasks-0")).MountPath)
}

func TestReadWriteOnceKeepsAllPodsOnOneNode(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.ApplyWorkerConfig()
	env.BindClaim("data-test-connect", "local", "1Gi", corev1.ReadWriteOnce)
	env.Apply(withStorage(4, "size: 1Gi, class: local, accessMode: ReadWriteOnce"))
	c := env.WaitReady("test", 4)
	for _, task := range c.Status.Tasks {
		require.Equal(t, c.Status.Connector.Node, task.Node)
	}
	env.WaitCondition("test", "StorageReady", metav1.ConditionTrue, "BoundToOneNode")
}

func TestRejectedStorageChangeKeepsTheClaimAndThePods(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.ApplyWorkerConfig()
	env.BindClaim("data-test-connect", "", "1Gi", corev1.ReadWriteMany)
	env.Apply(withStorage(1, "size: 1Gi"))
	env.WaitReady("test", 1)
	before, claim := env.PodUIDs(), env.Claims()[0]
	for storage, message := range map[string]string{
		"size: 512Mi":                          "storage.size may grow but not shrink",
		"size: 1Gi, class: other":              "storage.class cannot be changed",
		"size: 1Gi, accessMode: ReadWriteOnce": "storage.accessMode cannot be changed on an existing claim",
	} {
		require.Contains(t, env.ApplyError(withStorage(1, storage)), message)
	}

	// The class does not allow expansion: the API server rejects the larger claim.
	env.Apply(withStorage(1, "size: 2Gi"))
	c := env.WaitCondition("test", "StorageReady", metav1.ConditionFalse, "ApplyRejected")
	require.Contains(t, c.Message, "apply PersistentVolumeClaim data-test-connect")
	require.Contains(t, c.Message, "must support resize")
	require.Equal(t, claim.Spec, env.Claims()[0].Spec)
	require.Empty(t, env.Restarted(before))
}

func TestForeignClaimIsUsedOnlyAsExistingClaim(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.ApplyWorkerConfig()
	env.Apply(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data-test-connect}
spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}
`)
	env.Apply(withStorage(1, "size: 1Gi"))
	env.WaitCondition("test", "ConfigValid", metav1.ConditionFalse, connectv1.ReasonClaimConflict)
	require.Empty(t, env.PodUIDs())
	env.Apply(withStorage(1, "existingClaim: data-test-connect, mountPath: /mnt/shared"))
	env.WaitFor("test", func(c *connectv1.KafkaConnector) error {
		return testenv.HasCondition(c.Status.Conditions, "ConfigValid", metav1.ConditionTrue, "")
	})
	require.Nil(t, env.Claims()[0].Labels, "an existing claim is never changed")
}

func TestLogFilesAreOnTheSharedVolume(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.ApplyWorkerConfig()
	env.BindClaim("data-test-connect", "", "1Gi", corev1.ReadWriteMany)
	env.Apply(withStorage(1, `size: 1Gi, mountPath: /mnt/shared, subPath: "$(CONNECTOR_NAME)"`) +
		`  loggingConfig: {file: logs/connect.log}
  template: {container: {jvmOptions: ["-Xlog:gc*:file=/mnt/shared/gc-$(POD_NAME).log"]}}
`)
	env.WaitReady("test", 1)
	secret, err := env.Client().CoreV1().Secrets(env.Namespace).Get(t.Context(), "test-connector", metav1.GetOptions{})
	require.NoError(t, err)
	for _, key := range []string{"runner.json", "task-runner.json"} {
		require.Contains(t, string(secret.Data[key]), `"logFile":"/mnt/shared/logs/$(POD_NAME)-connect.log"`)
		require.Contains(t, string(secret.Data[key]), "gc-$(POD_NAME).log")
	}
	require.Equal(t, "$(CONNECTOR_NAME)", storageMount(env.Pod("test-tasks-0")).SubPathExpr)
}
