//go:build linux

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/gluster"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/app"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/test/testenv"
)

const mebibyte = 1 << 20

func name(directory string) string {
	return decide.GlusterVolumeName(decide.VolumeID{
		Namespace: testenv.Namespace, Storage: testenv.Storage, Directory: directory,
	})
}

// TestSizesAreAcknowledgedByTheBricks shares one cluster, whose start takes most of the time.
func TestSizesAreAcknowledgedByTheBricks(t *testing.T) {
	// The cluster behaves like GlusterFS 6, the oldest version that is supported; the clients are those of this machine.
	e := testenv.NewAt(t, gluster.Version6)
	require.Contains(t, e.Cluster.Gluster("volume", "get", "all", "cluster.op-version"), fmt.Sprint(gluster.Version6))
	// The tree has a volume of kadalu, without a project id.
	kadalu := "pvc-of-kadalu"
	writeInfo(t, e, kadalu, decide.Info{Size: mebibyte, PathPrefix: filepath.Dir(decide.DataPath(kadalu))})

	short := func(c *app.ControllerConfig) { c.StorageTimeout = 4 * time.Second }
	c := e.Start(e.Account, short)
	e.CreateStorage("")
	names := []string{kadalu}

	t.Run("AVolumeOfKadaluGetsAProjectIDAndAGlusterVolume", func(t *testing.T) {
		gv := e.At(t).Enforced(name(kadalu), storagev1alpha1.ReasonNoQuotad)
		require.Equal(t, int64(mebibyte), gv.Spec.CapacityBytes)
		require.GreaterOrEqual(t, gv.Spec.ProjectID, decide.DefaultProjects.First)
		require.Equal(t, gv.Spec.ProjectID, readInfo(t, e, kadalu).ProjectID)
	})
	t.Run("WithoutAQuotadAVolumeIsReadyAtOnce", func(t *testing.T) {
		create(t, c, "pvc-1", codes.OK)
		names = append(names, "pvc-1")
		gv := e.At(t).Enforced(name("pvc-1"), storagev1alpha1.ReasonNoQuotad)
		require.Equal(t, "default/ext-storage", gv.Spec.Storage)
		require.Equal(t, decide.DataPath("pvc-1"), gv.Spec.Path)
		require.Empty(t, gv.Spec.VolumeID, "GlusterFS 6 does not tell clients the UUID of a volume")
		e.At(t).StorageCondition(kadaluv1alpha1.ConditionQuotaEnforced, metav1.ConditionFalse,
			kadaluv1alpha1.ReasonQuotaUnmanaged)
	})
	first := e.Quotad(1)
	t.Run("ACreateWaitsForEveryBrickAndNamesTheMissingOnes", func(t *testing.T) {
		e := e.At(t)
		// A quotad has reported, so the storage is managed from now on.
		e.StorageCondition(kadaluv1alpha1.ConditionQuotaEnforced, metav1.ConditionFalse,
			kadaluv1alpha1.ReasonNotAllEnforced)
		message := create(t, c, "pvc-2", codes.DeadlineExceeded)
		require.Contains(t, message, e.Cluster.BrickName(2, testenv.Volume)+", "+e.Cluster.BrickName(3, testenv.Volume))
		require.NotContains(t, message, e.Cluster.BrickName(1, testenv.Volume))
		e.Enforced(name("pvc-2"), storagev1alpha1.ReasonWaitingForBricks)
	})
	second := e.Quotad(2)
	t.Run("ABrickThatIsOfflineIsNotWaitedFor", func(t *testing.T) {
		e := e.At(t)
		e.Cluster.StopBrick(3, testenv.Volume)
		testkit.Eventually(t, time.Minute, func(ctx context.Context) error {
			_, err := c.CreateVolume(ctx, testenv.Request("pvc-2", mebibyte))
			return err
		})
		names = append(names, "pvc-2")
		e.Enforced(name("pvc-2"), storagev1alpha1.ReasonLimitsEnforced)
		e.Cluster.StartBricks(testenv.Volume)
		// The brick is online again and has not reported.
		e.Enforced(name("pvc-2"), storagev1alpha1.ReasonWaitingForBricks)
		e.Quotad(3)
		e.Enforced(name("pvc-2"), storagev1alpha1.ReasonLimitsEnforced)
	})
	third := e.Quotad(3)
	t.Run("AnExpansionWaitsForTheNewSize", func(t *testing.T) {
		e := e.At(t)
		begun := time.Now()
		expanded, err := c.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{
			VolumeId: testenv.VolumeID("pvc-1"), CapacityRange: &csi.CapacityRange{RequiredBytes: 2 * mebibyte},
		})
		require.NoError(t, err)
		t.Logf("expanded and acknowledged by 3 bricks in %s", time.Since(begun).Round(time.Millisecond))
		require.Equal(t, int64(2*mebibyte), expanded.GetCapacityBytes())
		gv := e.Enforced(name("pvc-1"), storagev1alpha1.ReasonLimitsEnforced)
		require.Equal(t, int64(2*mebibyte), gv.Spec.CapacityBytes)
		for _, b := range gv.Status.Bricks {
			require.Equal(t, gv.Generation, b.ObservedGeneration)
		}
		smaller, err := c.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{
			VolumeId: testenv.VolumeID("pvc-1"), CapacityRange: &csi.CapacityRange{RequiredBytes: mebibyte},
		})
		require.NoError(t, err)
		require.Equal(t, int64(2*mebibyte), smaller.GetCapacityBytes(), "a volume never shrinks")
		e.StorageCondition(kadaluv1alpha1.ConditionQuotaEnforced, metav1.ConditionTrue, kadaluv1alpha1.ReasonAllEnforced)
	})
	t.Run("ABrickThatCannotEnforceEndsTheWaitWithItsCause", func(t *testing.T) {
		third.Report(storagev1alpha1.BrickUnsupported)
		defer third.Report(storagev1alpha1.BrickEnforced)
		message := create(t, c, "pvc-3", codes.Unavailable)
		require.Contains(t, message, "Unsupported: simulated")
		e.At(t).Enforced(name("pvc-3"), storagev1alpha1.ReasonBricksFailed)
		_, err := c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: testenv.VolumeID("pvc-3")})
		require.NoError(t, err)
		check(t, e, names...)
	})
	t.Run("AProjectIDThatABrickRefusesIsReplaced", func(t *testing.T) {
		// A new volume gets the first free id after the hash of its name.
		id, err := decide.DefaultProjects.Allocate(testenv.VolumeID("pvc-used"), 0, func(int64) bool { return false })
		require.NoError(t, err)
		third.Refuse(id)
		testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
			_, err := c.CreateVolume(ctx, testenv.Request("pvc-used", mebibyte))
			return err
		})
		gv := e.At(t).Enforced(name("pvc-used"), storagev1alpha1.ReasonLimitsEnforced)
		require.NotEqual(t, id, gv.Spec.ProjectID)
		require.Equal(t, gv.Spec.ProjectID, readInfo(t, e, "pvc-used").ProjectID)
		names = append(names, "pvc-used")
		check(t, e, names...)
	})
	t.Run("TheClaimOfAKadaluVolumeIsBoundAgainToItsReplacement", func(t *testing.T) { adopted(e.At(t), kadalu) })
	t.Run("LostGlusterVolumesAndLostMetadataAreRestoredWithTheSameProjectID", func(t *testing.T) {
		restore(e.At(t), e, c, names)
	})
	t.Run("ConcurrentCreatesGetDifferentProjectIDs", func(t *testing.T) {
		var running sync.WaitGroup
		var mu sync.Mutex
		for i := range 40 {
			running.Go(func() {
				_, err := c.CreateVolume(t.Context(), testenv.Request(fmt.Sprintf("pvc-many-%d", i), mebibyte))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				names = append(names, fmt.Sprintf("pvc-many-%d", i))
			})
		}
		running.Wait()
		check(t, e, names...)
		for i := range 40 {
			_, err := c.DeleteVolume(t.Context(),
				&csi.DeleteVolumeRequest{VolumeId: testenv.VolumeID(fmt.Sprintf("pvc-many-%d", i))})
			require.NoError(t, err)
		}
		names = names[:len(names)-40]
		check(t, e, names...)
	})
	t.Run("TwoStoragesOfOneVolumeDoNotPromiseTheSameSpace", func(t *testing.T) { twoStorages(e.At(t), c) })
	t.Run("ReclaimPoliciesThatKeepTheDataLeaveNoVolume", func(t *testing.T) { reclaim(e.At(t), e, c, names) })
	t.Run("AnExternalQuotadGetsARequestAndStatfsMustShowTheSize", func(t *testing.T) {
		external(e.At(t), c)
		names = append(names, "pvc-ext")
	})
	t.Run("WithUnmanagedQuotaThereIsNoGlusterVolume", func(t *testing.T) {
		e := e.At(t)
		setQuota(e, kadaluv1alpha1.QuotaUnmanaged)
		testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
			list, err := e.Weir.StorageV1alpha1().GlusterVolumes().List(ctx, metav1.ListOptions{})
			if err == nil && len(list.Items) > 0 {
				err = fmt.Errorf("%d GlusterVolumes exist", len(list.Items))
			}
			return err
		})
		create(t, c, "pvc-4", codes.OK)
		names = append(names, "pvc-4")
		require.Zero(t, readInfo(t, e, "pvc-4").ProjectID)
		setQuota(e, kadaluv1alpha1.QuotaManaged)
		check(t, e, names...)
	})
	t.Run("MountedClientsFollowChangesOfTheGlusterFSVolume", func(t *testing.T) { changes(e.At(t), c) })
	t.Run("AVolumeWithTLSIsMountedAndLimitedWithTheCertificatesOfTheNode", func(t *testing.T) {
		c.Stop()
		*c = *e.Start(e.Account, short)
		encrypted(e.At(t), c)
	})
	_, _ = first, second
}

func create(t *testing.T, c *testenv.Controller, name string, want codes.Code) (message string) {
	t.Helper()
	_, err := c.CreateVolume(t.Context(), testenv.Request(name, mebibyte))
	require.Equal(t, want, status.Code(err), err)
	return status.Convert(err).Message()
}

// check waits until exactly these volumes exist.
func check(t *testing.T, e *testenv.Env, names ...string) {
	t.Helper()
	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
		found, err := e.Find(ctx)
		if err != nil {
			return err
		}
		return found.Check(names...)
	})
}

func setQuota(e *testenv.Env, mode kadaluv1alpha1.QuotaMode) {
	e.Helper()
	_, err := e.ControlPlane.Kubectl(e.Context(), "patch", "kadalustorage", testenv.Storage, "-n", testenv.Namespace,
		"--type=merge", "-p", fmt.Sprintf(`{"spec":{"quota":%q}}`, mode))
	require.NoError(e, err)
	testkit.Eventually(e, testenv.Timeout, func(ctx context.Context) error {
		ks, err := e.Weir.KadaluV1alpha1().KadaluStorages(testenv.Namespace).Get(ctx, testenv.Storage, metav1.GetOptions{})
		if err == nil && ks.Status.QuotaMode != mode {
			err = fmt.Errorf("the mode is %s", ks.Status.QuotaMode)
		}
		return err
	})
}

// mounted returns the path of a file on the GlusterFS volume.
func mounted(e *testenv.Env, name string) string {
	e.Helper()
	return filepath.Join(e.Cluster.MountFor(e.T, testenv.Volume), name)
}

func restore(e, root *testenv.Env, c *testenv.Controller, names []string) {
	gvs := e.Weir.StorageV1alpha1().GlusterVolumes()
	before, err := gvs.Get(e.Context(), name("pvc-1"), metav1.GetOptions{})
	require.NoError(e, err)
	require.NoError(e, gvs.Delete(e.Context(), before.Name, metav1.DeleteOptions{}))
	testkit.Eventually(e, testenv.Timeout, func(ctx context.Context) error {
		after, err := gvs.Get(ctx, before.Name, metav1.GetOptions{})
		if err == nil && (after.UID == before.UID || after.Spec != before.Spec) {
			err = fmt.Errorf("the GlusterVolume is not restored: %+v", after.Spec)
		}
		return err
	})

	want := readInfo(e.T, e, "pvc-1")
	for what, damage := range map[string]func(file string) error{
		"lost":           os.Remove,
		"partly written": func(file string) error { return os.WriteFile(file, []byte(`{"size": 10`), 0o600) },
		"hostile": func(file string) error {
			return os.WriteFile(file, []byte(`{"size": -1, "path_prefix": "../../etc", "project_id": 0}`), 0o600)
		},
	} {
		// A new mount each time: an earlier one may still know the inode that the controller replaced.
		require.NoError(e, damage(mounted(e, decide.InfoPath("pvc-1"))), what)
		_, err := parse(e, "pvc-1")
		require.Error(e, err, what)
		// The metadata is read again at the start of the controller, and on each resync.
		c.Stop()
		*c = *root.Start(e.Account, nil)
		testkit.Eventually(e, testenv.Timeout, func(context.Context) error {
			got, err := parse(e, "pvc-1")
			if err == nil && (got.Size != want.Size || got.ProjectID != want.ProjectID || got.Storage != want.Storage) {
				err = fmt.Errorf("%s metadata is restored as %+v, want %+v", what, got, want)
			}
			return err
		})
	}
	// Metadata without its directory: the volume was deleted by hand, and so is its GlusterVolume.
	create(e.T, c, "pvc-gone", codes.OK)
	require.NoError(e, os.Remove(mounted(e, decide.InfoPath("pvc-gone"))))
	require.NoError(e, os.Remove(mounted(e, decide.DataPath("pvc-gone"))))
	c.Stop()
	*c = *root.Start(e.Account, nil)
	testkit.Eventually(e, testenv.Timeout, func(ctx context.Context) error {
		_, err := gvs.Get(ctx, name("pvc-gone"), metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("the GlusterVolume of a directory that is gone exists: %w", err)
		}
		return nil
	})
	// The damaged files are kept for the administrator; the test removes them.
	damaged, err := filepath.Glob(mounted(e, decide.InfoPath("pvc-1")+".damaged-*"))
	require.NoError(e, err)
	require.Len(e, damaged, 2)
	for _, file := range damaged {
		require.NoError(e, os.Remove(file))
	}
	check(e.T, e, names...)
}

func external(e *testenv.Env, c *testenv.Controller) {
	setQuota(e, kadaluv1alpha1.QuotaExternal)
	message := create(e.T, c, "pvc-ext", codes.DeadlineExceeded)
	require.Contains(e, message, "statfs of "+decide.DataPath("pvc-ext")+" does not show the size 1048576")
	data, err := os.ReadFile(filepath.Join(e.Cluster.Brick(2, testenv.Volume), decide.SpoolPath("pvc-ext")))
	require.NoError(e, err)
	var spool map[string]any
	require.NoError(e, json.Unmarshal(data, &spool))
	info := readInfo(e.T, e, "pvc-ext")
	require.Equal(e, map[string]any{
		"path": decide.DataPath("pvc-ext"), "size": float64(mebibyte), "projectID": float64(info.ProjectID),
	}, spool)
	e.Enforced(name("pvc-ext"), storagev1alpha1.ReasonLimitNotShown)
}

func parse(e *testenv.Env, directory string) (decide.Info, error) {
	data, err := os.ReadFile(filepath.Join(e.Cluster.Brick(1, testenv.Volume), decide.InfoPath(directory)))
	if err != nil {
		return decide.Info{}, err
	}
	return decide.ParseInfo(directory, data)
}

func readInfo(t *testing.T, e *testenv.Env, directory string) decide.Info {
	t.Helper()
	info, err := parse(e, directory)
	require.NoError(t, err)
	return info
}

// writeInfo creates a volume as kadalu does.
func writeInfo(t *testing.T, e *testenv.Env, directory string, info decide.Info) {
	t.Helper()
	point := e.Cluster.MountFor(t, testenv.Volume)
	require.NoError(t, os.MkdirAll(filepath.Join(point, decide.DataPath(directory)), 0o777))
	file := filepath.Join(point, decide.InfoPath(directory))
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, info.Encode(), 0o600))
}
