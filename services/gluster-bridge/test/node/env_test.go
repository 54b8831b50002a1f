//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/csi/csitest"
	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/gluster-bridge/test/testenv"
)

// timeout is the deadline of each wait.
const timeout = time.Minute

// nodeName is the Node that the processes run on.
const nodeName = "node1"

// metricsAddress is in the network namespace of the tests.
const metricsAddress = "127.0.0.1:18080"

const mebibyte = 1 << 20

// env has a control plane, a GlusterFS volume and a controller, which all tests share.
type env struct {
	*testenv.Env
	controller csi.ControllerClient
	account    *rest.Config
}

// worker is a node: the node process, and the process that runs the clients.
type worker struct {
	csi.NodeClient
	*env

	t             *testing.T
	node, clients *testenv.Program
	// dir has the paths of kubelet, mounts is the directory of the clients.
	dir, mounts string
}

// worker starts a node.
func (e *env) worker(t *testing.T, flags ...string) *worker {
	t.Helper()
	dir, endpoint, socket := t.TempDir(), csitest.Socket(t), csitest.Socket(t)
	w := &worker{env: e, t: t, dir: dir, mounts: filepath.Join(dir, "mounts")}
	t.Cleanup(func() {
		testenv.UnmountBelow(dir)
		w.killClients()
	})
	w.NodeClient = csi.NewNodeClient(testenv.Dial(t, endpoint))
	common := []string{"--mount-directory=" + w.mounts, "--log-directory=" + dir, "--storage-timeout=20s"}
	w.clients = testenv.NewProgram(t, append([]string{
		"clients", "--socket=" + socket, "--metrics-address=",
	}, common...)...)
	w.node = testenv.NewProgram(t, slices.Concat([]string{
		"node", "--node-name=" + nodeName, "--kubeconfig=" + testenv.Kubeconfig(t, e.account), "--endpoint=" + endpoint,
		"--clients-socket=" + socket, "--metrics-address=" + metricsAddress,
	}, common, flags)...)
	require.NoError(t, w.clients.Start())
	require.NoError(t, w.node.Start())
	w.ready()
	return w
}

// ready waits until the node process serves calls.
func (w *worker) ready() {
	w.t.Helper()
	testkit.Eventually(w.t, timeout, func(ctx context.Context) error {
		_, err := w.NodeGetInfo(ctx, &csi.NodeGetInfoRequest{})
		return err
	})
}

// volume creates a volume.
func (e *env) volume(t *testing.T, name string) *csi.Volume {
	t.Helper()
	var created *csi.CreateVolumeResponse
	testkit.Eventually(t, timeout, func(ctx context.Context) (err error) {
		created, err = e.controller.CreateVolume(ctx, testenv.Request(name, mebibyte))
		return err
	})
	return created.GetVolume()
}

func capability() *csi.VolumeCapability {
	return testenv.Request("", 0).GetVolumeCapabilities()[0]
}

func (w *worker) staging(v *csi.Volume) string {
	return filepath.Join(w.dir, "staging", filepath.Base(v.GetVolumeId()))
}

// stage stages a volume. Like kubelet it repeats the call while the clients are not available.
func (w *worker) stage(v *csi.Volume) {
	w.t.Helper()
	testkit.Eventually(w.t, timeout, func(ctx context.Context) error {
		_, err := w.NodeStageVolume(ctx, &csi.NodeStageVolumeRequest{
			VolumeId: v.GetVolumeId(), StagingTargetPath: w.staging(v), VolumeCapability: capability(),
			VolumeContext: v.GetVolumeContext(),
		})
		return err
	})
}

// publish publishes a staged volume and returns its path.
func (w *worker) publish(v *csi.Volume, pod string, readonly bool) string {
	w.t.Helper()
	request := w.request(v, pod, readonly)
	require.NoError(w.t, os.MkdirAll(filepath.Dir(request.GetTargetPath()), 0o750))
	testkit.Eventually(w.t, timeout, func(ctx context.Context) error {
		_, err := w.NodePublishVolume(ctx, request)
		return err
	})
	return request.GetTargetPath()
}

func (w *worker) request(v *csi.Volume, pod string, readonly bool) *csi.NodePublishVolumeRequest {
	return &csi.NodePublishVolumeRequest{
		VolumeId: v.GetVolumeId(), StagingTargetPath: w.staging(v), TargetPath: filepath.Join(w.dir, "pods", pod),
		VolumeCapability: capability(), VolumeContext: v.GetVolumeContext(), Readonly: readonly,
	}
}

// untilRemembered waits until the node process has read the mounts of all containers that run now.
func (w *worker) untilRemembered() {
	const probes, interval = 5, time.Second
	timer := time.NewTimer((probes + 3) * interval)
	<-timer.C
}

// killClients ends all clients of the worker at once and returns how many there were.
func (w *worker) killClients() (killed int) {
	for _, pid := range clientsOf(w.mounts) {
		if unix.Kill(pid, unix.SIGKILL) == nil {
			killed++
		}
	}
	return killed
}

// clientsOf returns the process ids of the clients whose mount points are in a directory.
func clientsOf(mounts string) (pids []int) {
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range processes {
		data, err := os.ReadFile(name)
		arguments := strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
		if err != nil || filepath.Base(arguments[0]) != "glusterfs" ||
			filepath.Dir(arguments[len(arguments)-1]) != mounts {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// client returns the key and the device of the only client of the worker.
func (w *worker) client() (key, device string) {
	w.t.Helper()
	mounts, err := node.Mounts()
	require.NoError(w.t, err)
	found := 0
	for _, m := range mounts {
		if filepath.Dir(m.Point) == w.mounts {
			key, device = filepath.Base(m.Point), m.Device
			found++
		}
	}
	require.Equal(w.t, 1, found, "clients")
	return key, device
}

// event waits for an event about the Node and the worker's volumes, and returns its note.
func (w *worker) event(reason string) (note string) {
	w.t.Helper()
	return w.noted(reason, "")
}

// noted is event for an event whose note contains a text.
func (w *worker) noted(reason, text string) (note string) {
	w.t.Helper()
	testkit.Eventually(w.t, timeout, func(ctx context.Context) error {
		list, err := w.ControlPlane.Client().EventsV1().Events("default").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, found := range slices.Backward(list.Items) {
			if found.Reason == reason && found.Regarding.Kind == "Node" && found.Regarding.Name == nodeName &&
				strings.Contains(found.Note, text) {
				note = found.Note
				return nil
			}
		}
		return fmt.Errorf("no event %s about the Node with %q", reason, text)
	})
	return note
}

// metrics returns the metrics of the node process.
func (w *worker) metrics() string {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://"+metricsAddress+"/metrics", nil)
	require.NoError(w.t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(w.t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(w.t, err)
	return string(text)
}

// options returns the options of a mount of a process.
func options(pid int, point string) ([]string, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	mounts, err := node.ParseMounts(file)
	if err != nil {
		return nil, err
	}
	for _, m := range slices.Backward(mounts) {
		if m.Point == point {
			return m.Options, nil
		}
	}
	return nil, errors.New(point + " is not mounted")
}

// percentile returns a percentile of sorted durations.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}
