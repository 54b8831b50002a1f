package integration

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/services/volume-provisioner/test/testenv"
)

func TestAgentWritesOnlyTheObjectOfItsOwnNode(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	own, other := e.Namespace+"-own", e.Namespace+"-other"
	weir, err := versioned.NewForConfig(testenv.AgentIdentity(e.ControlPlane, own))
	require.NoError(t, err)
	nodes, admin := weir.StorageV1alpha1().LocalVolumeNodes(), e.Weir.StorageV1alpha1().LocalVolumeNodes()
	named := func(name string) *storagev1alpha1.LocalVolumeNode {
		return &storagev1alpha1.LocalVolumeNode{ObjectMeta: metav1.ObjectMeta{Name: name}}
	}
	t.Cleanup(func() {
		_ = admin.Delete(context.Background(), own, metav1.DeleteOptions{})
		_ = admin.Delete(context.Background(), other, metav1.DeleteOptions{})
	})
	// The API server takes some time to enforce a new policy.
	e.Eventually(func(ctx context.Context) error {
		_, err := nodes.Create(ctx, named(other), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil {
			return os.ErrPermission
		}
		return nil
	})
	_, err = nodes.Create(t.Context(), named(other), metav1.CreateOptions{})
	require.ErrorContains(t, err, `the agent of node "`+own+`" cannot write LocalVolumeNode `+other)
	work := named(own)
	work.Spec.Wipes = []storagev1alpha1.WipeSpec{{ID: "x", BasePath: "/mnt/data", Path: "a", Marker: "b"}}
	_, err = nodes.Create(t.Context(), work, metav1.CreateOptions{})
	require.ErrorContains(t, err, "an agent creates its LocalVolumeNode without spec")
	_, err = nodes.Create(t.Context(), named(own), metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = admin.Create(t.Context(), named(other), metav1.CreateOptions{})
	require.NoError(t, err)
	update := func(name string) error {
		node, err := admin.Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		node.Status.Ready = "1/1"
		_, err = nodes.UpdateStatus(t.Context(), node, metav1.UpdateOptions{})
		return err
	}
	require.NoError(t, update(own))
	require.ErrorContains(t, update(other), "cannot write LocalVolumeNode "+other)
	_, err = nodes.Patch(t.Context(), own, types.MergePatchType, []byte(`{"spec":{"basePaths":["/etc"]}}`),
		metav1.PatchOptions{})
	require.ErrorContains(t, err, "cannot patch resource")
}

func TestRealAgentPreparesTheDirectoriesOfASet(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	names, err := e.ControlPlane.AddNodes(t.Context(), 1)
	require.NoError(t, err)
	base := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.Mkdir(base, 0o750))
	account := testenv.AgentIdentity(e.ControlPlane, names[0])
	testenv.Start(t, func(ctx context.Context) error { return testenv.RunAgent(ctx, account, names[0], base) })
	e.Apply(replace(manifest(e, 2, names), "/mnt/data/"+e.Namespace, base))
	claims := testenv.Claims(e.WaitReady("s", "2/2", 0))
	e.CreateClaims("1Gi", claims...)
	e.WaitReady("s", "2/2", 2)
	for _, claim := range claims {
		marker := testenv.ReadMarker(e.PV(claim).Spec.Local.Path)
		require.NotNil(t, marker)
		require.Equal(t, e.Namespace+"/"+claim, marker.ID)
	}
	// A wipe of a bound volume waits. After the deletion of the claim the directory is renamed and created again, empty.
	pv := e.PV(claims[0])
	require.NoError(t, os.WriteFile(filepath.Join(pv.Spec.Local.Path, "data"), []byte("x"), 0o600))
	wipes := e.Weir.StorageV1alpha1().VolumeWipes(e.Namespace)
	_, err = wipes.Create(t.Context(), &storagev1alpha1.VolumeWipe{
		ObjectMeta: metav1.ObjectMeta{Name: "w"},
		Spec:       storagev1alpha1.VolumeWipeSpec{PV: pv.Name, PVUID: pv.UID, Path: pv.Spec.Local.Path},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	waitForWipe(e, "w", storagev1alpha1.WipePending)
	e.DeleteClaims(claims[0])
	waitForWipe(e, "w", storagev1alpha1.WipeDone)
	e.WaitReady("s", "2/2", 1)
	require.NotEqual(t, pv.UID, e.PV(claims[0]).UID)
	require.NoFileExists(t, filepath.Join(pv.Spec.Local.Path, "data"))
	require.DirExists(t, pv.Spec.Local.Path)
}
