//go:build linux

package integration

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/app"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/test/testenv"
)

const claimOfKadalu = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: default}
spec:
  accessModes: [ReadWriteMany]
  resources: {requests: {storage: 1Mi}}
  storageClassName: kadalu.ext-storage
  volumeName: %[1]s
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s}
spec:
  accessModes: [ReadWriteMany]
  capacity: {storage: 1Mi}
  claimRef: {name: data, namespace: default}
  persistentVolumeReclaimPolicy: Retain
  storageClassName: kadalu.ext-storage
  csi:
    driver: kadalu
    volumeHandle: %[1]s
    volumeAttributes:
      hostvol: ext-storage
      path: %[2]s
      pvtype: subvol
      type: External
`

// adopted follows the steps that adopt prints.
func adopted(e *testenv.Env, volume string) {
	ctx := e.Context()
	_, err := e.ControlPlane.ApplyYAML(ctx, "", fmt.Sprintf(claimOfKadalu, volume, decide.DataPath(volume)))
	require.NoError(e, err)
	core := e.ControlPlane.Client().CoreV1()
	phase := func(want corev1.PersistentVolumeClaimPhase) *corev1.PersistentVolumeClaim {
		var claim *corev1.PersistentVolumeClaim
		testkit.Eventually(e, testenv.Timeout, func(ctx context.Context) (err error) {
			claim, err = core.PersistentVolumeClaims("default").Get(ctx, "data", metav1.GetOptions{})
			if err == nil && claim.Status.Phase != want {
				err = fmt.Errorf("the claim is %s, want %s", claim.Status.Phase, want)
			}
			return err
		})
		return claim
	}
	before := phase(corev1.ClaimBound)

	// YAML of the printed kinds, as kubectl prints it.
	objects, err := e.ControlPlane.Kubectl(ctx, "get", "pv,kadalustorages", "-A", "-o", "yaml")
	require.NoError(e, err)
	command := app.Command()
	var output bytes.Buffer
	command.SetIn(strings.NewReader(objects))
	command.SetOut(&output)
	command.SetErr(&output)
	command.SetArgs([]string{"adopt", "-f", "-"})
	require.NoError(e, command.ExecuteContext(ctx), output.String())

	require.NoError(e, core.PersistentVolumes().Delete(ctx, volume, metav1.DeleteOptions{}))
	// The PersistentVolume of a bound claim is protected; the administrator removes its finalizer.
	_, err = e.ControlPlane.Kubectl(ctx, "patch", "pv", volume, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	if err != nil {
		require.Contains(e, err.Error(), "not found")
	}
	testkit.Eventually(e, testenv.Timeout, func(ctx context.Context) error {
		if _, err := core.PersistentVolumes().Get(ctx, volume, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the PersistentVolume of kadalu exists: %w", err)
		}
		return nil
	})
	phase(corev1.ClaimLost)
	_, err = e.ControlPlane.ApplyYAML(ctx, "", output.String())
	require.NoError(e, err)
	after := phase(corev1.ClaimBound)
	require.Equal(e, before.UID, after.UID)
	pv, err := core.PersistentVolumes().Get(ctx, volume, metav1.GetOptions{})
	require.NoError(e, err)
	require.Equal(e, "gluster.weir.dev", pv.Spec.CSI.Driver)
	require.Equal(e, testenv.VolumeID(volume), pv.Spec.CSI.VolumeHandle)
	require.NoError(e, core.PersistentVolumeClaims("default").Delete(ctx, "data", metav1.DeleteOptions{}))
	require.NoError(e, core.PersistentVolumes().Delete(ctx, volume, metav1.DeleteOptions{}))
}
