//go:build linux

package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/test/testenv"
)

// reclaim deletes volumes whose data must stay. Without the metadata, the directory must not be taken for a volume
// whose metadata was lost, neither now nor after a restart.
func reclaim(e, root *testenv.Env, c *testenv.Controller, names []string) {
	for policy, prefix := range map[kadaluv1alpha1.ReclaimPolicy]string{
		kadaluv1alpha1.ReclaimRetain: "", kadaluv1alpha1.ReclaimArchive: decide.ArchivedPrefix,
	} {
		setReclaim(e, policy)
		volume := "pvc-" + string(policy)
		create(e.T, c, volume, codes.OK)
		data, directory := decide.DataPath(volume), prefix+volume
		require.NoError(e, os.WriteFile(filepath.Join(mounted(e, data), "file"), []byte("data"), 0o600))
		_, err := c.DeleteVolume(e.Context(), &csi.DeleteVolumeRequest{VolumeId: testenv.VolumeID(volume)})
		require.NoError(e, err)
		c.Stop()
		*c = *root.Start(e.Account, nil)
		_, err = c.ListVolumes(e.Context(), &csi.ListVolumesRequest{})
		require.NoError(e, err)
		testkit.Eventually(e, testenv.Timeout, func(ctx context.Context) error {
			found, err := e.Find(ctx)
			if err != nil {
				return err
			}
			if _, kept := found.Directories[directory]; !kept {
				return fmt.Errorf("%s: the data is gone: %v", policy, found.Directories)
			}
			delete(found.Directories, directory)
			return found.Check(names...)
		})
		if policy == kadaluv1alpha1.ReclaimRetain {
			require.Contains(e, create(e.T, c, volume, codes.AlreadyExists), "exists without metadata")
		}
		require.NoError(e, os.RemoveAll(filepath.Join(mounted(e, filepath.Dir(data)), directory)))
	}
	setReclaim(e, kadaluv1alpha1.ReclaimDelete)
	check(e.T, e, names...)
}

func setReclaim(e *testenv.Env, policy kadaluv1alpha1.ReclaimPolicy) {
	e.Helper()
	_, err := e.ControlPlane.Kubectl(e.Context(), "patch", "kadalustorage", testenv.Storage, "-n", testenv.Namespace,
		"--type=merge", "-p", fmt.Sprintf(`{"spec":{"pvReclaimPolicy":%q}}`, policy))
	require.NoError(e, err)
	testkit.Eventually(e, testenv.Timeout, func(ctx context.Context) error {
		ks, err := e.Weir.KadaluV1alpha1().KadaluStorages(testenv.Namespace).Get(ctx, testenv.Storage, metav1.GetOptions{})
		if err == nil && ks.Status.ObservedGeneration != ks.Generation {
			err = fmt.Errorf("generation %d is not observed", ks.Generation)
		}
		return err
	})
}

// twoStorages shows that two storages with one GlusterFS volume cannot promise the same space, although they have
// different clients and the cluster does not tell the UUID of the volume.
func twoStorages(e *testenv.Env, c *testenv.Controller) {
	const second = "second"
	storages := e.Weir.KadaluV1alpha1().KadaluStorages(testenv.Namespace)
	ks, err := storages.Get(e.Context(), testenv.Storage, metav1.GetOptions{})
	require.NoError(e, err)
	spec := *ks.Spec.DeepCopy()
	spec.Details[0].GlusterOptions = "log-level=ERROR"
	_, err = storages.Create(e.Context(), &kadaluv1alpha1.KadaluStorage{
		ObjectMeta: metav1.ObjectMeta{Name: second}, Spec: spec,
	}, metav1.CreateOptions{})
	require.NoError(e, err)
	var free int64
	testkit.Eventually(e, testenv.Timeout, func(ctx context.Context) error {
		ks, err := storages.Get(ctx, second, metav1.GetOptions{})
		if err != nil {
			return err
		}
		ready := meta.FindStatusCondition(ks.Status.Conditions, kadaluv1alpha1.ConditionReady)
		if ready == nil || ready.Status != metav1.ConditionTrue {
			return fmt.Errorf("the second storage is not ready: %+v", ready)
		}
		free = ks.Status.CapacityBytes - ks.Status.ProvisionedBytes
		return nil
	})
	_, err = c.CreateVolume(e.Context(), testenv.Request("pvc-most", free-mebibyte))
	require.NoError(e, err)
	request := testenv.Request("pvc-rest", 2*mebibyte)
	request.Parameters["storage_name"] = second
	_, err = c.CreateVolume(e.Context(), request)
	require.Equal(e, codes.ResourceExhausted, status.Code(err), err)
	_, err = c.DeleteVolume(e.Context(), &csi.DeleteVolumeRequest{VolumeId: testenv.VolumeID("pvc-most")})
	require.NoError(e, err)
	require.NoError(e, storages.Delete(e.Context(), second, metav1.DeleteOptions{}))
}
