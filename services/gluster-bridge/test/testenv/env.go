//go:build linux

// Package testenv runs the controller of gluster-bridge on the embedded control plane and on a real GlusterFS cluster:
// installed from its kustomize base, under its own ServiceAccount. A simulated quotad reports limits, because the
// kernel of the tests may have no quota.
package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	csispec "github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/csi/csitest"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/gluster"
	glusterbridge "github.com/weir-dev/weir/services/gluster-bridge/internal/app"
)

// Timeout is the deadline of each wait.
const Timeout = time.Minute

// Storage and Namespace are the KadaluStorage that Env creates, Volume its GlusterFS volume.
const (
	Storage   = "ext-storage"
	Namespace = "default"
	Volume    = "r3"
)

type shared struct{ m *testing.M }

func (s shared) Run() int {
	testkit.Main(s.m)
	return 0
}

// Main is for TestMain of the packages that use this one.
func Main(m *testing.M) {
	runController()
	gluster.Main(shared{m})
}

// Env is a control plane, a GlusterFS cluster with a volume, and the rights of the controller.
type Env struct {
	*testing.T
	ControlPlane *testkit.ControlPlane
	Weir         versioned.Interface
	Account      *rest.Config
	Cluster      *gluster.Cluster
}

// Deploy returns the path of a file or directory below deploy/, as seen from the directory of a test package.
func Deploy(elements ...string) string {
	return filepath.Join(append([]string{"..", "..", "..", "..", "deploy"}, elements...)...)
}

// Install applies deploy/base and deploy/gluster-bridge and returns the connection of the controller's ServiceAccount.
func Install(ctx context.Context, cp *testkit.ControlPlane) (*rest.Config, error) {
	for _, name := range []string{"base", "gluster-bridge"} {
		manifests, err := cp.Kubectl(ctx, "kustomize", Deploy(name))
		if err != nil {
			return nil, err
		}
		if _, err := cp.ApplyYAML(ctx, "", manifests); err != nil {
			return nil, fmt.Errorf("apply deploy/%s: %w", name, err)
		}
	}
	return cp.ServiceAccount(ctx, "weir-node", "gluster-bridge")
}

// New starts the cluster and a volume. A package has one Env; its tests are subtests.
func New(t *testing.T) *Env {
	t.Helper()
	return NewAt(t, 0)
}

// NewAt is New with a cluster that has an operating version, see gluster.NewAt.
func NewAt(t *testing.T, operatingVersion int) *Env {
	t.Helper()
	if testing.Short() {
		t.Skip("it runs GlusterFS; run it without -short")
	}
	gluster.Need(t)
	cp := testkit.New(t)
	account, err := Install(t.Context(), cp)
	require.NoError(t, err)
	weir, err := versioned.NewForConfig(cp.RESTConfig())
	require.NoError(t, err)
	e := &Env{t, cp, weir, account, gluster.NewAt(t, operatingVersion)}
	e.Cluster.Volume(Volume, "replica", "3")
	return e
}

// At returns the Env for a subtest.
func (e *Env) At(t *testing.T) *Env { return &Env{t, e.ControlPlane, e.Weir, e.Account, e.Cluster} }

// Controller is a running controller.
type Controller struct {
	csispec.ControllerClient
	// Stop stops it and waits for its end.
	Stop func()
	// Mounts is the directory of its mounts.
	Mounts string
}

// Start runs the controller in this process. change may change its flags; optional.
func (e *Env) Start(config *rest.Config, change func(*glusterbridge.ControllerConfig)) *Controller {
	e.Helper()
	flags := Flags(e.TempDir(), csitest.Socket(e))
	if change != nil {
		change(&flags)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(e.Context()))
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, config, flags) }()
	conn, err := grpc.NewClient("unix://"+flags.Endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	require.NoError(e, err)
	stop := sync.OnceFunc(func() {
		_ = conn.Close()
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			e.Error(err)
		}
	})
	e.Cleanup(stop)
	return &Controller{csispec.NewControllerClient(conn), stop, flags.MountDirectory}
}

// Run runs the controller in this process until ctx ends.
func Run(ctx context.Context, config *rest.Config, flags glusterbridge.ControllerConfig) error {
	options := app.DefaultOptions()
	options.MetricsAddress = ""
	options.QPS, options.Burst = 1000, 2000
	logs := io.Discard
	if os.Getenv("WEIR_LOG") != "" {
		logs = os.Stderr
	}
	return app.Run(ctx, glusterbridge.ControllerSpec(&flags), options, config, slog.New(slog.NewTextHandler(logs, nil)))
}

// Flags returns the flags of a controller for tests, with a directory for its mounts and logs.
func Flags(dir, socket string) glusterbridge.ControllerConfig {
	flags := glusterbridge.ControllerDefaults()
	flags.MountDirectory, flags.LogDirectory, flags.Endpoint = filepath.Join(dir, "mounts"), dir, socket
	flags.StorageTimeout, flags.ProbeInterval = 10*time.Second, time.Second
	return flags
}

// CreateStorage creates the KadaluStorage and waits until a controller has made it ready.
func (e *Env) CreateStorage(quota kadaluv1alpha1.QuotaMode) {
	e.Helper()
	e.AddStorage(quota)
	e.StorageCondition(kadaluv1alpha1.ConditionReady, metav1.ConditionTrue, kadaluv1alpha1.ReasonStorageReady)
}

// AddStorage creates the KadaluStorage.
func (e *Env) AddStorage(quota kadaluv1alpha1.QuotaMode) {
	e.Helper()
	_, err := e.Weir.KadaluV1alpha1().KadaluStorages(Namespace).Create(e.Context(), &kadaluv1alpha1.KadaluStorage{
		ObjectMeta: metav1.ObjectMeta{Name: Storage},
		Spec: kadaluv1alpha1.KadaluStorageSpec{
			Type: "External", Quota: quota,
			Details: []kadaluv1alpha1.GlusterDetails{{
				GlusterNode: gluster.Host(1), GlusterHosts: []string{gluster.Host(2), gluster.Host(3)}, GlusterVolname: Volume,
				GlusterOptions: "log-level=WARNING",
			}},
		},
	}, metav1.CreateOptions{})
	require.NoError(e, err)
}

// StorageCondition waits until a condition of the storage has this status and reason, and returns its message.
func (e *Env) StorageCondition(
	kind string, status metav1.ConditionStatus, reason kadaluv1alpha1.StorageReason,
) (message string) {
	e.Helper()
	testkit.Eventually(e, Timeout, func(ctx context.Context) error {
		ks, err := e.Weir.KadaluV1alpha1().KadaluStorages(Namespace).Get(ctx, Storage, metav1.GetOptions{})
		if err != nil {
			return err
		}
		c := meta.FindStatusCondition(ks.Status.Conditions, kind)
		if c == nil || c.Status != status || c.Reason != string(reason) {
			return fmt.Errorf("want %s %s %s: %+v", kind, status, reason, c)
		}
		message = c.Message
		return nil
	})
	return message
}

// Enforced waits until the condition Enforced of a GlusterVolume has this reason, and returns the GlusterVolume.
func (e *Env) Enforced(name string, reason storagev1alpha1.GlusterVolumeReason) *storagev1alpha1.GlusterVolume {
	e.Helper()
	var found *storagev1alpha1.GlusterVolume
	testkit.Eventually(e, Timeout, func(ctx context.Context) (err error) {
		if found, err = e.Weir.StorageV1alpha1().GlusterVolumes().Get(ctx, name, metav1.GetOptions{}); err != nil {
			return err
		}
		c := meta.FindStatusCondition(found.Status.Conditions, storagev1alpha1.ConditionEnforced)
		if c == nil || c.Reason != string(reason) || c.ObservedGeneration != found.Generation {
			return fmt.Errorf("want %s: %+v", reason, c)
		}
		return nil
	})
	return found
}

// Request returns a request for a volume.
func Request(name string, size int64) *csispec.CreateVolumeRequest {
	return &csispec.CreateVolumeRequest{
		Name: name, Parameters: map[string]string{"storage_name": Storage, "storage_namespace": Namespace},
		CapacityRange: &csispec.CapacityRange{RequiredBytes: size},
		VolumeCapabilities: []*csispec.VolumeCapability{{
			AccessMode: &csispec.VolumeCapability_AccessMode{Mode: csispec.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER},
			AccessType: &csispec.VolumeCapability_Mount{Mount: &csispec.VolumeCapability_MountVolume{}},
		}},
	}
}

// VolumeID is the CSI id of a volume of the storage.
func VolumeID(name string) string { return Namespace + "/" + Storage + "/" + name }
