package properties

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/perturb"
	"github.com/weir-dev/weir/services/volume-provisioner/test/testenv"
)

func TestEveryPermissionOfControllerAndAgentIsUsedAndNoneIsMissing(t *testing.T) {
	cp := controlPlane(t)
	e := testenv.At(t, cp, cp.Namespace(t))
	env := perturb.Env{ControlPlane: cp, Namespace: e.Namespace}
	require.NoError(t, addNode(t.Context(), env))
	t.Cleanup(func() { require.NoError(t, removeAll(context.Background(), env)) })
	base, node := filepath.Join(t.TempDir(), "data"), e.Namespace+"-node"
	require.NoError(t, os.Mkdir(base, 0o750))
	controller, agent := &testkit.Permissions{}, &testkit.Permissions{}
	config, agentConfig := rest.CopyConfig(account), testenv.AgentIdentity(cp, node)
	config.Wrap(controller.Record)
	agentConfig.Wrap(agent.Record)
	testenv.Start(t, func(ctx context.Context) error { return testenv.Run(ctx, config) })
	testenv.Start(t, func(ctx context.Context) error { return testenv.RunAgent(ctx, agentConfig, node, base) })

	manifest := strings.Replace(set(e.Namespace, 1, "1Gi"), "/mnt/data/"+e.Namespace, base, 1)
	claim := "data-" + e.Namespace + "-0"
	e.Apply(manifest)
	e.CreateClaims("1Gi", claim)
	e.WaitReady("s", "2/2", 1)
	e.Apply(strings.Replace(manifest, "size: 1Gi", "size: 2Gi", 1))
	_, err := cp.Kubectl(t.Context(), "patch", "pvc", claim, "-n", e.Namespace, "--type=merge", "-p",
		`{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}`)
	require.NoError(t, err)
	e.Eventually(func(ctx context.Context) error {
		if !slices.Contains(controller.Used(), "patch persistentvolumeclaims/status") {
			return fmt.Errorf("the claim is not expanded: %v", controller.Used())
		}
		return nil
	})
	e.DeleteClaims(claim)
	e.WaitReady("s", "2/2", 0)
	pv := e.PV(claim)
	_, err = e.Weir.StorageV1alpha1().VolumeWipes(e.Namespace).Create(t.Context(), &storagev1alpha1.VolumeWipe{
		ObjectMeta: metav1.ObjectMeta{Name: "w"},
		Spec:       storagev1alpha1.VolumeWipeSpec{PV: pv.Name, PVUID: pv.UID, Path: pv.Spec.Local.Path},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	rescheduled(e, base, node)
	for role, used := range map[string]*testkit.Permissions{
		"weir-volume-provisioner": controller, "weir-volume-provisioner-agent": agent,
	} {
		granted, err := cp.Granted(t.Context(), role)
		require.NoError(t, err)
		e.Eventually(func(context.Context) error {
			for _, permission := range granted {
				// A repeated event is patched, and events are sent later.
				if permission != "patch events" && !slices.Contains(used.Used(), permission) {
					return fmt.Errorf("no request used %q of %s; used: %v", permission, role, used.Used())
				}
			}
			return nil
		})
		require.Empty(t, used.Forbidden(), role)
	}
}

// rescheduled waits until the controller has refused the node of a claim that is too large for it.
func rescheduled(e *testenv.Env, base, node string) {
	e.Helper()
	class := "rights-" + e.Namespace
	e.Apply(fmt.Sprintf(`
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: %[1]s}
provisioner: volume-provisioner.weir.dev
parameters: {basePath: %[2]s}
volumeBindingMode: WaitForFirstConsumer
reclaimPolicy: Retain
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: large, annotations: {volume.kubernetes.io/selected-node: %[3]s}}
spec:
  storageClassName: %[1]s
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 900Pi}}
`, class, base, node))
	e.Cleanup(func() {
		classes := e.Client().StorageV1().StorageClasses()
		require.NoError(e, classes.Delete(context.Background(), class, metav1.DeleteOptions{}))
	})
	e.Eventually(func(ctx context.Context) error {
		claim, err := e.Client().CoreV1().PersistentVolumeClaims(e.Namespace).Get(ctx, "large", metav1.GetOptions{})
		if err == nil && claim.Annotations["volume.kubernetes.io/selected-node"] != "" {
			err = fmt.Errorf("the claim has the annotation: %v", claim.Annotations)
		}
		return err
	})
}
