//go:build linux

package properties

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/transport"
)

// start runs the quotad of the first node until stop or the end of the test.
func (c *cluster) start(t *testing.T, config *rest.Config, volume string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- c.run(ctx, config, 0, volume) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// create creates directories with GlusterVolumes and waits for their limits.
func (c *cluster) create(t *testing.T, cp *testkit.ControlPlane, volume string, directories int) {
	t.Helper()
	volumes, err := clientOf(cp.RESTConfig())
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, volumes.DeleteCollection(context.Background(), metav1.DeleteOptions{},
			metav1.ListOptions{LabelSelector: "test=" + volume}))
	})
	for i := range directories {
		name := fmt.Sprint("pv-", i)
		require.NoError(t, c.makeDirectory(volume, name))
		_, err := cp.ApplyYAML(t.Context(), "",
			glusterVolume(volume+"-"+name, volume, name, 8*mebibyte, uint32(3000+i))) //nolint:gosec // small
		require.NoError(t, err)
	}
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		list, err := volumes.List(ctx, metav1.ListOptions{LabelSelector: "test=" + volume})
		if err != nil {
			return err
		}
		if len(list.Items) != directories {
			return fmt.Errorf("%d GlusterVolumes exist", len(list.Items))
		}
		for i := range list.Items {
			if err := enforced(&list.Items[i], 1); err != nil {
				return err
			}
		}
		return nil
	})
}

// TestIdleGlusterVolumesCauseNoWrite has a check of all directories each second.
func TestIdleGlusterVolumesCauseNoWrite(t *testing.T) {
	const volume, directories, period = "idle", 20, 10 * time.Second
	cp := controlPlane(t)
	c := newCluster(t, 1)
	require.NoError(t, c.addVolume(volume))
	account, err := identity(cp, 0)
	require.NoError(t, err)
	config, requests := transport.Wrap(account)
	c.start(t, config, volume)
	c.create(t, cp, volume, directories)
	testkit.Eventually(t, timeout, func(context.Context) error {
		if quiet := time.Since(requests.LastWrite()); quiet < 3*time.Second {
			return fmt.Errorf("the last write was %s ago", quiet)
		}
		return nil
	})
	before := len(requests.Writes())
	timer := time.NewTimer(period)
	defer timer.Stop()
	<-timer.C
	require.Empty(t, requests.Writes()[before:])
	require.GreaterOrEqual(t, before, directories)
	t.Logf("%d directories: %d writes to report them, none in %s with a check each second", directories, before, period)
}

func TestEveryPermissionIsUsedAndNoneIsMissing(t *testing.T) {
	const volume = "permissions"
	cp := controlPlane(t)
	c := newCluster(t, 1)
	require.NoError(t, c.addVolume(volume))
	used := &testkit.Permissions{}
	account, err := identity(cp, 0)
	require.NoError(t, err)
	account.Wrap(used.Record)
	c.start(t, account, volume)
	c.create(t, cp, volume, 1)
	granted, err := cp.Granted(t.Context(), "weir-quotad")
	require.NoError(t, err)
	require.Subset(t, used.Used(), granted)
	require.Empty(t, used.Forbidden())
}

// TestDirectoryThatAppearsAfterARestartIsLimitedSoon has no check within its time.
func TestDirectoryThatAppearsAfterARestartIsLimitedSoon(t *testing.T) {
	const volume, name = "late", "late-pv"
	cp := controlPlane(t)
	c := newCluster(t, 1)
	c.interval = time.Hour
	require.NoError(t, c.addVolume(volume))
	account, err := identity(cp, 0)
	require.NoError(t, err)
	volumes, err := clientOf(cp.RESTConfig())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, volumes.Delete(context.Background(), name, metav1.DeleteOptions{})) })
	stop := c.start(t, account, volume)
	size := func(bytes int64) {
		t.Helper()
		_, err = cp.ApplyYAML(t.Context(), "", glusterVolume(name, volume, "pv", bytes, 4000))
		require.NoError(t, err)
	}
	size(4 * mebibyte)
	state := func(want storagev1alpha1.BrickState) {
		t.Helper()
		testkit.Eventually(t, timeout, func(ctx context.Context) error {
			gv, err := volumes.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			bricks := gv.Status.Bricks
			if len(bricks) != 1 || bricks[0].State != want || bricks[0].ObservedGeneration != gv.Generation {
				return fmt.Errorf("the entries are %+v, want the state %s of generation %d", bricks, want, gv.Generation)
			}
			return nil
		})
	}
	state(storagev1alpha1.BrickWaiting)
	stop()
	// Its report shows that the new process has looked for the directory.
	size(8 * mebibyte)
	c.start(t, account, volume)
	state(storagev1alpha1.BrickWaiting)
	require.NoError(t, c.makeDirectory(volume, "pv"))
	state(storagev1alpha1.BrickEnforced)
	require.NoError(t, c.limits(map[uint32]uint64{4000: 8 * mebibyte}))
}
