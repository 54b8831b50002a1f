//go:build linux

package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/csi/csitest"
	"github.com/weir-dev/weir/pkg/testkit"
	glusterbridge "github.com/weir-dev/weir/services/gluster-bridge/internal/app"
	"github.com/weir-dev/weir/services/gluster-bridge/test/testenv"
)

// timeout is the deadline of each wait.
const timeout = time.Minute

const class = "kadalu.external.ext-storage"

// env is a control plane with the controller.
type env struct {
	*testing.T
	cp   *testkit.ControlPlane
	kube kubernetes.Interface
	weir versioned.Interface
}

// start installs the base and runs the controller with exactly its rights.
func start(t *testing.T) *env {
	t.Helper()
	cp, ctx := testkit.New(t), t.Context()
	account, err := testenv.Install(ctx, cp)
	require.NoError(t, err)
	weir, err := versioned.NewForConfig(cp.RESTConfig())
	require.NoError(t, err)
	flags, options := glusterbridge.ControllerDefaults(), app.DefaultOptions()
	dir := t.TempDir()
	flags.MountDirectory, flags.LogDirectory, flags.Endpoint = filepath.Join(dir, "mounts"), dir, csitest.Socket(t)
	flags.StorageTimeout = time.Second
	options.MetricsAddress = ""
	logs := io.Discard
	if os.Getenv("WEIR_LOG") != "" {
		logs = os.Stderr
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() {
		ended <- app.Run(running, glusterbridge.ControllerSpec(&flags), options, account,
			slog.New(slog.NewTextHandler(logs, nil)))
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return &env{t, cp, cp.Client(), weir}
}

// ready waits until the condition Ready of a storage has a reason, and returns its message.
func (e *env) ready(namespace string, reason kadaluv1alpha1.StorageReason) (message string) {
	e.Helper()
	testkit.Eventually(e, timeout, func(ctx context.Context) error {
		ks, err := e.weir.KadaluV1alpha1().KadaluStorages(namespace).Get(ctx, "ext-storage", metav1.GetOptions{})
		if err != nil {
			return err
		}
		c := meta.FindStatusCondition(ks.Status.Conditions, kadaluv1alpha1.ConditionReady)
		if c == nil || c.Reason != string(reason) {
			return fmt.Errorf("want the reason %s: %+v", reason, c)
		}
		message = c.Message
		return nil
	})
	return message
}

// documented is the manifest in the design document of kadalu's External storage, byte for byte.
const documented = `# File: storage-config.yaml
---
apiVersion: kadalu-operator.storage/v1alpha1
kind: KadaluStorage
metadata:
  # This will be used as name of PV Hosting Volume
  name: ext-storage
spec:
  type: External #Here, volume type can be anything
  details:
    - gluster_node: node1
      gluster_volname: volume_name # Volume name
      Gluster_options: log_level=DEBUG
`

func TestAKadaluStorageHasAStorageClassUntilItsVolumesAreDeleted(t *testing.T) {
	t.Parallel()
	e := start(t)
	ctx := t.Context()
	data, err := os.ReadFile(testenv.Deploy("examples", "gluster-bridge", "storage-config.yaml"))
	require.NoError(t, err)
	require.Equal(t, documented, string(data), "the suite gluster applies the same file to real servers")
	_, err = e.cp.ApplyYAML(ctx, "default", documented)
	require.NoError(t, err)
	// The host node1 does not exist here. The class appears all the same: the volume may become reachable later.
	require.NotEmpty(t, e.ready("default", kadaluv1alpha1.ReasonMountFailed))
	sc, err := e.kube.StorageV1().StorageClasses().Get(ctx, class, metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "gluster.weir.dev", sc.Provisioner)
	require.Equal(t, map[string]string{"storage_name": "ext-storage", "storage_namespace": "default"}, sc.Parameters)

	// A StorageClass that is deleted or changed is restored.
	require.NoError(t, e.kube.StorageV1().StorageClasses().Delete(ctx, class, metav1.DeleteOptions{}))
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		_, err := e.kube.StorageV1().StorageClasses().Get(ctx, class, metav1.GetOptions{})
		return err
	})

	// Beside kadalu's operator, which would handle the same storage, it is not used.
	_, err = e.cp.ApplyYAML(ctx, "default", `
apiVersion: apps/v1
kind: Deployment
metadata: {name: operator}
spec:
  selector: {matchLabels: {app: operator}}
  template:
    metadata: {labels: {app: operator}}
    spec:
      containers: [{name: operator, image: "docker.io/kadalu/kadalu-operator:1.2.0"}]
`)
	require.NoError(t, err)
	require.Contains(t, e.ready("default", kadaluv1alpha1.ReasonKadaluOperator), "Deployment default/operator")
	_, err = e.kube.AppsV1().Deployments("default").UpdateScale(ctx, "operator", &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: "operator", Namespace: "default"},
	}, metav1.UpdateOptions{})
	require.NoError(t, err)
	e.ready("default", kadaluv1alpha1.ReasonMountFailed)

	// A storage of the same name in another namespace does not take the class.
	_, err = e.kube.CoreV1().Namespaces().Create(ctx,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = e.cp.ApplyYAML(ctx, "other", string(data))
	require.NoError(t, err)
	require.Contains(t, e.ready("other", kadaluv1alpha1.ReasonNameConflict),
		"belongs to KadaluStorage default/ext-storage")

	// The deletion waits for the PersistentVolumes.
	_, err = e.cp.ApplyYAML(ctx, "", `
apiVersion: v1
kind: PersistentVolume
metadata: {name: pvc-1}
spec:
  accessModes: [ReadWriteMany]
  capacity: {storage: 1Gi}
  persistentVolumeReclaimPolicy: Retain
  csi: {driver: gluster.weir.dev, volumeHandle: default/ext-storage/pvc-1}
`)
	require.NoError(t, err)
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		ks, err := e.weir.KadaluV1alpha1().KadaluStorages("default").Get(ctx, "ext-storage", metav1.GetOptions{})
		if err == nil && ks.Status.PersistentVolumes != 1 {
			err = errors.New("the PersistentVolume is not counted")
		}
		return err
	})
	storages := e.weir.KadaluV1alpha1().KadaluStorages("default")
	require.NoError(t, storages.Delete(ctx, "ext-storage", metav1.DeleteOptions{}))
	require.Contains(t, e.ready("default", kadaluv1alpha1.ReasonVolumesExist), "1 PersistentVolumes")
	require.NoError(t, e.kube.CoreV1().PersistentVolumes().Delete(ctx, "pvc-1", metav1.DeleteOptions{}))
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		_, err := storages.Get(ctx, "ext-storage", metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("the storage still exists: %w", err)
		}
		return nil
	})
	// The class now belongs to the other storage.
	e.ready("other", kadaluv1alpha1.ReasonMountFailed)

	invalid := strings.Replace(string(data), "log_level=DEBUG", "log_level=DEBUG,foo", 1)
	_, err = e.cp.ApplyYAML(ctx, "other", invalid)
	require.NoError(t, err)
	require.Contains(t, e.ready("other", kadaluv1alpha1.ReasonInvalidStorage), `"foo": is not an allowed mount option`)
}
