//go:build linux

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/gluster-bridge/test/testenv"
)

// TestNodeOnGlusterFS shares one cluster, whose start takes most of the time.
func TestNodeOnGlusterFS(t *testing.T) {
	e := &env{Env: testenv.New(t)}
	account, err := e.ControlPlane.ServiceAccount(t.Context(), "weir-node", "gluster-bridge-node")
	require.NoError(t, err)
	e.account = account
	e.AddStorage(kadaluv1alpha1.QuotaUnmanaged)
	e.controller = e.Start(e.Account, nil)
	t.Run("EveryTargetWorksAgainAfterAClientIsKilled", func(t *testing.T) { killed(t, e) })
	t.Run("ARestartOfTheNodeProcessCausesNoErrorInAWriter", func(t *testing.T) { restarted(t, e) })
	t.Run("AClientThatEndsBesidesTheNodeProcessIsReplaced", func(t *testing.T) { endedBeside(t, e) })
	t.Run("AllClientsAreReplacedAfterTheirProcessIsRestarted", func(t *testing.T) { clientsRestarted(t, e) })
	t.Run("AVolumeIsUsableAfterARestartOfTheNode", func(t *testing.T) { rebooted(t, e) })
	t.Run("AClientWithoutBricksIsNotReplaced", func(t *testing.T) { bricksDown(t, e) })
	t.Run("AClientWithoutMountsEnds", func(t *testing.T) { unused(t, e) })
	t.Run("AClientWithoutMountsEndsWithTheNodeProcess", func(t *testing.T) { uninstalled(t, e) })
	t.Run("AnIdleNodeProcessNeedsAlmostNoCPU", func(t *testing.T) { idle(t, e) })
	t.Run("AnUnavailableClientsProcessIsNamed", func(t *testing.T) { noClients(t, e) })
	t.Run("EveryDockerContainerWorksAgainAfterAClientIsKilled", func(t *testing.T) { inDocker(t, e) })
	t.Run("AMountThatCannotBeReplacedIsReported", func(t *testing.T) { notRecovered(t, e) })
	t.Run("OnlyTheDeletionOfTheirPodEndsTheClients", func(t *testing.T) { manifests(t, e) })
}

// rounds returns how often the client is killed: 5, or the number in WEIR_GLUSTER_KILLS.
func rounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("WEIR_GLUSTER_KILLS")
	if text == "" {
		return 5
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

func killed(t *testing.T, e *env) {
	w := e.worker(t)
	v, other := e.volume(t, "pvc-killed"), e.volume(t, "pvc-killed-2")
	w.stage(v)
	w.stage(other)
	target, readonly := w.publish(v, "writer", false), w.publish(v, "reader", true)
	second := w.publish(other, "second", false)
	for _, dir := range []string{"sub", "nested"} {
		require.NoError(t, os.Mkdir(filepath.Join(target, dir), 0o700))
	}
	for _, file := range []string{"file", "sub/file"} {
		require.NoError(t, os.WriteFile(filepath.Join(target, file), []byte("data"), 0o600))
	}
	inside := t.TempDir()
	for _, dir := range []string{"data", "sub"} {
		require.NoError(t, os.Mkdir(filepath.Join(inside, dir), 0o700))
	}
	require.NoError(t, os.WriteFile(filepath.Join(inside, "file"), nil, 0o600))
	emptyDir := t.TempDir()
	containers := []*container{
		startContainer(t, "writer", containerSpec{Write: target}),
		startContainer(t, "reader of a read-only mount", containerSpec{Read: filepath.Join(readonly, "file")}),
		startContainer(t, "second volume", containerSpec{Write: second}),
		startContainer(t, "subPath", containerSpec{
			Binds: [][2]string{{filepath.Join(target, "sub"), filepath.Join(inside, "sub")}},
			Write: filepath.Join(inside, "sub"), Read: filepath.Join(inside, "sub", "file"),
		}),
		startContainer(t, "subPath of a file", containerSpec{
			Binds: [][2]string{{filepath.Join(target, "file"), filepath.Join(inside, "file")}},
			Read:  filepath.Join(inside, "file"),
		}),
		startContainer(t, "emptyDir in the volume", containerSpec{
			Binds: [][2]string{
				{target, filepath.Join(inside, "data")}, {emptyDir, filepath.Join(inside, "data", "nested")},
			},
			Write: filepath.Join(inside, "data", "nested"), Read: filepath.Join(inside, "data", "file"),
		}),
	}
	w.untilRemembered()
	var times []time.Duration
	n := rounds(t)
	for range n {
		begun := time.Now()
		require.Equal(t, 1, w.killClients())
		for _, c := range containers {
			times = append(times, c.works(t, begun).Sub(begun))
		}
		for _, path := range []string{target, readonly, second, w.staging(v), w.staging(other)} {
			testkit.Eventually(t, timeout, func(context.Context) error {
				_, err := os.ReadDir(path)
				return err
			})
		}
		times = append(times, time.Since(begun))
	}
	slices.Sort(times)
	p99 := percentile(times, 99)
	t.Logf("client killed %d times, %d containers and the node: recovery p50 %s, p99 %s", n, len(containers),
		percentile(times, 50).Round(time.Millisecond), p99.Round(time.Millisecond))
	require.Less(t, p99, 10*time.Second)

	kept, err := options(containers[1].command.Process.Pid, readonly)
	require.NoError(t, err)
	require.Contains(t, kept, "ro")
	for _, path := range []string{
		readonly, filepath.Join("/proc", strconv.Itoa(containers[1].command.Process.Pid), "root", readonly),
	} {
		require.ErrorIs(t, os.WriteFile(filepath.Join(path, "x"), nil, 0o600), unix.EROFS, path)
	}
	// The emptyDir is still one: the container does not write to the volume instead.
	_, err = os.Stat(filepath.Join(emptyDir, "written"))
	require.NoError(t, err)
	_, err = os.Stat(filepath.Join(target, "nested", "written"))
	require.ErrorIs(t, err, os.ErrNotExist)
	events(t, w)
}

// events checks the events of the recovery, and that the node process has no other right.
func events(t *testing.T, w *worker) {
	t.Helper()
	for _, reason := range []string{storagev1alpha1.EventClientFailed, storagev1alpha1.EventMountsRecovered} {
		t.Logf("event %s: %s", reason, w.event(reason))
	}
	// Equal events are one: the node process patches it.
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		list, err := w.ControlPlane.Client().EventsV1().Events("default").List(ctx, metav1.ListOptions{})
		for _, e := range list.Items {
			if e.Reason == storagev1alpha1.EventClientFailed && e.Series != nil {
				return nil
			}
		}
		return errors.Join(errors.New("no event is a series"), err)
	})
	kube, err := kubernetes.NewForConfig(w.account)
	require.NoError(t, err)
	_, err = kube.CoreV1().Pods("weir-node").List(t.Context(), metav1.ListOptions{})
	require.True(t, apierrors.IsForbidden(err), err)
	roles, err := w.ControlPlane.Client().RbacV1().ClusterRoles().Get(t.Context(), "weir-gluster-bridge-node",
		metav1.GetOptions{})
	require.NoError(t, err)
	require.Len(t, roles.Rules, 1)
	require.Equal(t, []string{"events"}, roles.Rules[0].Resources)
}

func restarted(t *testing.T, e *env) {
	w := e.worker(t)
	v := e.volume(t, "pvc-restarted")
	w.stage(v)
	target := w.publish(v, "writer", false)
	_, device := w.client()
	c := startContainer(t, "writer", containerSpec{Write: target})
	// Crashes and upgrades, and what kubelet does in the meantime: it publishes again.
	const restarts = 4
	for i := range restarts {
		if i%2 == 0 {
			w.node.Kill()
		} else {
			require.NoError(t, w.node.Terminate())
		}
		require.NoError(t, w.node.Start())
		w.ready()
		w.publish(v, "writer", false)
	}
	begun := time.Now()
	testkit.Eventually(t, timeout, func(context.Context) error {
		info, err := os.Stat(filepath.Join(target, "written"))
		if err == nil && info.ModTime().Before(begun) {
			err = fmt.Errorf("the last write was at %s", info.ModTime())
		}
		return err
	})
	_, failures := c.state()
	require.Empty(t, failures)
	_, now := w.client()
	require.Equal(t, device, now, "it is the same client")
	t.Logf("node process killed or terminated, and started %d times: 0 errors in the writer", restarts)
}

func endedBeside(t *testing.T, e *env) {
	w := e.worker(t)
	v := e.volume(t, "pvc-beside")
	w.stage(v)
	c := startContainer(t, "writer", containerSpec{Write: w.publish(v, "writer", false)})
	w.node.Kill()
	begun := time.Now()
	require.Equal(t, 1, w.killClients())
	require.NoError(t, w.node.Start())
	t.Logf("works again after %s", c.works(t, begun).Sub(begun).Round(time.Millisecond))
	w.ready()
	// kubelet's call finds a mount of the current client.
	w.publish(v, "writer", false)
}

func clientsRestarted(t *testing.T, e *env) {
	w := e.worker(t)
	v := e.volume(t, "pvc-clients")
	w.stage(v)
	c := startContainer(t, "writer", containerSpec{Write: w.publish(v, "writer", false)})
	begun := time.Now()
	w.clients.Kill()
	require.Equal(t, 1, w.killClients())
	require.NoError(t, w.clients.Start())
	t.Logf("works again after %s", c.works(t, begun).Sub(begun).Round(time.Millisecond))
}

func rebooted(t *testing.T, e *env) {
	w := e.worker(t)
	v := e.volume(t, "pvc-rebooted")
	w.stage(v)
	target := w.publish(v, "writer", false)
	require.NoError(t, os.WriteFile(filepath.Join(target, "file"), []byte("data"), 0o600))
	key, _ := w.client()
	// After a restart of the node no mount and no process is left. The directories and the record are.
	w.node.Kill()
	w.clients.Kill()
	testenv.UnmountBelow(w.dir)
	w.killClients()
	record := filepath.Join(w.mounts, key+".json")
	content, err := os.ReadFile(record)
	require.NoError(t, err)
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	require.NoError(t, err)
	changed := bytes.Replace(content, bytes.TrimSpace(boot), []byte("00000000-0000-4000-8000-000000000000"), 1)
	require.NotEqual(t, content, changed)
	require.NoError(t, os.WriteFile(record, changed, 0o600))
	require.NoError(t, w.clients.Start())
	require.NoError(t, w.node.Start())
	w.ready()
	_, err = os.Stat(record)
	require.ErrorIs(t, err, os.ErrNotExist, "the record of another boot is removed")
	require.Empty(t, clientsOf(w.mounts), "no client is started before it is needed")
	// kubelet may take the volume for staged.
	require.Equal(t, target, w.publish(v, "writer", false))
	data, err := os.ReadFile(filepath.Join(target, "file"))
	require.NoError(t, err)
	require.Equal(t, "data", string(data))
	for range 2 {
		_, err = w.NodeUnpublishVolume(t.Context(), &csi.NodeUnpublishVolumeRequest{
			VolumeId: v.GetVolumeId(), TargetPath: target,
		})
		require.NoError(t, err)
		_, err = w.NodeUnstageVolume(t.Context(), &csi.NodeUnstageVolumeRequest{
			VolumeId: v.GetVolumeId(), StagingTargetPath: w.staging(v),
		})
		require.NoError(t, err)
	}
}
