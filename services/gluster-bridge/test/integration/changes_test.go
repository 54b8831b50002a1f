//go:build linux

package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/gluster"
	"github.com/weir-dev/weir/services/gluster-bridge/test/testenv"
)

// writer appends to a file on a mounted volume and counts the writes.
type writer struct {
	mu     sync.Mutex
	writes int
	err    error
}

func startWriter(t *testing.T, name string) *writer {
	t.Helper()
	file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	w := &writer{}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		block := make([]byte, 4096)
		for ctx.Err() == nil {
			_, err := file.Write(block)
			if err == nil {
				err = file.Sync()
			}
			w.mu.Lock()
			w.writes++
			if err != nil && w.err == nil {
				w.err = fmt.Errorf("write %d: %w", w.writes, err)
			}
			w.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		_ = file.Close()
	})
	return w
}

// goesOn waits for more writes and fails if one of all writes failed.
func (w *writer) goesOn(t *testing.T) (writes int) {
	t.Helper()
	w.mu.Lock()
	before := w.writes
	w.mu.Unlock()
	testkit.Eventually(t, testenv.Timeout, func(context.Context) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if writes = w.writes; writes < before+10 {
			return fmt.Errorf("%d writes after the change", writes-before)
		}
		return nil
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	require.NoError(t, w.err)
	return writes
}

// brickPort matches the columns of an online brick: TCP port, RDMA port, Online, Pid.
var brickPort = regexp.MustCompile(`(?m) (\d+) +\d+ +Y +\d+ *$`)

// changes shows that mounted clients follow changes of the GlusterFS volume without a remount and without an error.
func changes(e *testenv.Env, c *testenv.Controller) {
	point := e.Cluster.MountFor(e.T, testenv.Volume)
	name := "written-during-changes"
	w := startWriter(e.T, filepath.Join(point, name))
	w.goesOn(e.T)
	// The file cannot be read while the client changes to another graph.
	volfile := func() (string, error) {
		data, err := os.ReadFile(filepath.Join(point, ".meta", "graphs", "active", "volfile"))
		return string(data), err
	}

	// The documented range of the ports of bricks.
	const firstPort, lastPort = 49152, 60999
	ports := brickPort.FindAllStringSubmatch(e.Cluster.Gluster("volume", "status", testenv.Volume), -1)
	require.Len(e, ports, gluster.Servers)
	for _, port := range ports {
		n, err := strconv.Atoi(port[1])
		require.NoError(e, err)
		require.True(e, n >= firstPort && n <= lastPort, n)
	}

	const translator = "performance/write-behind"
	before, err := volfile()
	require.NoError(e, err)
	require.Contains(e, before, translator)
	e.Cluster.Gluster("volume", "set", testenv.Volume, "performance.write-behind", "off")
	testkit.Eventually(e, testenv.Timeout, func(context.Context) error {
		now, err := volfile()
		if err == nil && strings.Contains(now, translator) {
			err = fmt.Errorf("the client still has %s", translator)
		}
		return err
	})
	e.Logf("a volume option was changed: the mounted client has it after %d writes, 0 errors", w.goesOn(e.T))

	e.Cluster.AddDisk(e.T, 3, "new")
	replaced, replacement := e.Cluster.BrickName(3, testenv.Volume),
		gluster.Host(3)+":"+filepath.Join(e.Cluster.Disk(3, "new"), testenv.Volume)
	e.Cluster.Gluster("volume", "replace-brick", testenv.Volume, replaced, replacement, "commit", "force")
	bricks(e, replacement, true)
	bricks(e, replaced, false)
	testkit.Eventually(e, testenv.Timeout, func(context.Context) error {
		info, err := os.Stat(filepath.Join(e.Cluster.Disk(3, "new"), testenv.Volume, name))
		if err == nil && info.Size() == 0 {
			err = fmt.Errorf("%s is not healed", info.Name())
		}
		return err
	})
	// quotad on the new brick has not reported.
	require.Contains(e, e.StorageCondition(kadaluv1alpha1.ConditionQuotaEnforced, metav1.ConditionFalse,
		kadaluv1alpha1.ReasonNotAllEnforced), replacement)
	e.Logf("a brick was replaced: the mounted client writes to the new one after %d writes, 0 errors", w.goesOn(e.T))

	var more []string
	for server := 1; server <= gluster.Servers; server++ {
		more = append(more, e.Cluster.BrickName(server, "more"))
	}
	e.Cluster.Gluster(slices.Concat([]string{"volume", "add-brick", testenv.Volume}, more, []string{"force"})...)
	e.StorageCondition(kadaluv1alpha1.ConditionReady, metav1.ConditionFalse, kadaluv1alpha1.ReasonDistributed)
	_, err = c.CreateVolume(e.Context(), testenv.Request("pvc-distributed", mebibyte))
	require.Equal(e, codes.FailedPrecondition, status.Code(err), err)
	e.Logf("bricks were added: new volumes are refused (%v); %d writes, 0 errors", err, w.goesOn(e.T))
	e.Cluster.Gluster(slices.Concat([]string{"volume", "remove-brick", testenv.Volume}, more, []string{"force"})...)
	e.StorageCondition(kadaluv1alpha1.ConditionReady, metav1.ConditionTrue, kadaluv1alpha1.ReasonStorageReady)

	e.Cluster.Gluster("volume", "set", testenv.Volume, "features.shard", "on")
	e.StorageCondition(kadaluv1alpha1.ConditionReady, metav1.ConditionFalse, kadaluv1alpha1.ReasonSharded)
	e.Cluster.Gluster("volume", "set", testenv.Volume, "features.shard", "off")
	e.StorageCondition(kadaluv1alpha1.ConditionReady, metav1.ConditionTrue, kadaluv1alpha1.ReasonStorageReady)
	e.Logf("sharding was turned on and off; %d writes, 0 errors", w.goesOn(e.T))
}

// bricks waits until the status of the storage has a brick, or has it no longer.
func bricks(e *testenv.Env, brick string, want bool) {
	e.Helper()
	testkit.Eventually(e, testenv.Timeout, func(ctx context.Context) error {
		ks, err := e.Weir.KadaluV1alpha1().KadaluStorages(testenv.Namespace).Get(ctx, testenv.Storage, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if ks.Status.Volume == nil || slices.Contains(ks.Status.Volume.Bricks, brick) != want {
			return fmt.Errorf("the volume is %+v", ks.Status.Volume)
		}
		return nil
	})
}
