//go:build linux

package properties

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/transport"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/test/testenv"
)

const idlePeriod = 15 * time.Second

func objectName(name string) string {
	return decide.GlusterVolumeName(decide.VolumeID{
		Namespace: testenv.Namespace, Storage: testenv.Storage, Directory: name,
	})
}

func idle(t *testing.T, e *testenv.Env) {
	at := e.At(t)
	config, requests := transport.Wrap(e.Account)
	c := at.Start(config, nil)
	const volumes = 20
	for i := range volumes {
		name := fmt.Sprintf("pvc-idle-%d", i)
		testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
			_, err := c.CreateVolume(ctx, testenv.Request(name, mebibyte))
			return err
		})
		at.Enforced(objectName(name), storagev1alpha1.ReasonLimitsEnforced)
	}
	testkit.Eventually(t, testenv.Timeout, func(context.Context) error {
		if quiet := time.Since(requests.LastWrite()); quiet < 3*time.Second {
			return fmt.Errorf("the last write was %s ago", quiet)
		}
		return nil
	})
	before := len(requests.Writes())
	timer := time.NewTimer(idlePeriod)
	defer timer.Stop()
	<-timer.C
	require.Empty(t, requests.Writes()[before:])
	t.Logf("%d volumes: %d writes to create them, none in %s with a probe each second", volumes, before, idlePeriod)
	for i := range volumes {
		_, err := c.DeleteVolume(t.Context(),
			&csi.DeleteVolumeRequest{VolumeId: testenv.VolumeID(fmt.Sprintf("pvc-idle-%d", i))})
		require.NoError(t, err)
	}
}

func rights(t *testing.T, e *testenv.Env) {
	at := e.At(t)
	used := &testkit.Permissions{}
	config := rest.CopyConfig(e.Account)
	config.Wrap(used.Record)
	// Another test has created the StorageClass.
	classes := e.ControlPlane.Client().StorageV1().StorageClasses()
	require.NoError(t, classes.Delete(t.Context(), "kadalu.external."+testenv.Storage, metav1.DeleteOptions{}))
	// The second event about an adopted volume changes the first one.
	point := e.Cluster.MountFor(t, testenv.Volume)
	adopted := []string{"pvc-kadalu-1", "pvc-kadalu-2"}
	for _, name := range adopted {
		info, data := filepath.Join(point, decide.InfoPath(name)), filepath.Join(point, decide.DataPath(name))
		require.NoError(t, errors.Join(os.MkdirAll(data, 0o755), os.MkdirAll(filepath.Dir(info), 0o755)))
		require.NoError(t, os.WriteFile(info, decide.NewInfo(name, mebibyte).Encode(), 0o600))
	}
	c := at.Start(config, nil)
	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
		_, err := c.CreateVolume(ctx, testenv.Request("pvc-rights", mebibyte))
		return err
	})
	at.Enforced(objectName("pvc-rights"), storagev1alpha1.ReasonLimitsEnforced)
	for _, name := range adopted {
		at.Enforced(objectName(name), storagev1alpha1.ReasonLimitsEnforced)
	}
	// The cache does not have a GlusterVolume that does not exist: it is read from the API.
	for _, name := range append(adopted, "pvc-rights", "pvc-unknown") {
		_, err := c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: testenv.VolumeID(name)})
		require.NoError(t, err)
	}
	storages := e.Weir.KadaluV1alpha1().KadaluStorages(testenv.Namespace)
	require.NoError(t, storages.Delete(t.Context(), testenv.Storage, metav1.DeleteOptions{}))
	granted, err := e.ControlPlane.Granted(t.Context(), "weir-gluster-bridge")
	require.NoError(t, err)
	testkit.Eventually(t, testenv.Timeout, func(context.Context) error {
		for _, permission := range granted {
			if !slices.Contains(used.Used(), permission) {
				return fmt.Errorf("no request used %q; used: %v", permission, used.Used())
			}
		}
		return nil
	})
	require.Empty(t, used.Forbidden())
}
