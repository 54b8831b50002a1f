// Package testenv runs volume-provisioner on the embedded control plane as it runs in a cluster: installed from its
// kustomize base, under its own ServiceAccount. Simulated agents keep the directories of each simulated node.
package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/testkit"
	volumeprovisioner "github.com/weir-dev/weir/services/volume-provisioner/internal/app"
)

// Timeout is the deadline of each wait. Most waits end within a second.
const Timeout = time.Minute

// Env is a namespace in which volume-provisioner works. Its methods fail the test on errors.
type Env struct {
	*testing.T
	ControlPlane *testkit.ControlPlane
	// Weir is an administrator's client of Weir's kinds.
	Weir versioned.Interface
	// Namespace is the name of the namespace.
	Namespace string
}

var shared struct {
	sync.Once
	err error
}

// Deploy returns the path of a file or directory below deploy/, as seen from the directory of a test package.
func Deploy(elements ...string) string {
	return filepath.Join(append([]string{"..", "..", "..", "..", "deploy"}, elements...)...)
}

// Install applies deploy/base and deploy/volume-provisioner and returns the connection of the controller's
// ServiceAccount.
func Install(ctx context.Context, cp *testkit.ControlPlane) (*rest.Config, error) {
	for _, name := range []string{"base", "volume-provisioner"} {
		manifests, err := cp.Kubectl(ctx, "kustomize", Deploy(name))
		if err != nil {
			return nil, err
		}
		if _, err := cp.ApplyYAML(ctx, "", manifests); err != nil {
			return nil, fmt.Errorf("apply deploy/%s: %w", name, err)
		}
	}
	return cp.ServiceAccount(ctx, "weir-system", "volume-provisioner")
}

// Run runs the controller in this process until ctx ends.
func Run(ctx context.Context, account *rest.Config) error {
	flags, options := volumeprovisioner.Defaults(), app.DefaultOptions()
	options.MetricsAddress = ""
	options.QPS, options.Burst = 1000, 2000
	flags.AllowedBasePaths = append(flags.AllowedBasePaths, filepath.Clean(os.TempDir()))
	return app.Run(ctx, volumeprovisioner.Spec(&flags), options, account, slog.New(slog.NewTextHandler(logs(), nil)))
}

// logs returns the writer for log lines: standard error if the environment variable WEIR_LOG is set, else nothing.
func logs() io.Writer {
	if os.Getenv("WEIR_LOG") != "" {
		return os.Stderr
	}
	return io.Discard
}

// New returns a new namespace on the control plane that all tests of the package share. One controller serves all of
// its namespaces.
func New(t *testing.T) *Env {
	t.Helper()
	cp := testkit.Shared(t)
	shared.Do(func() {
		account, err := Install(context.Background(), cp)
		if shared.err = err; err == nil {
			go func() {
				if err := Run(context.Background(), account); err != nil && !errors.Is(err, context.Canceled) {
					panic(err)
				}
			}()
		}
	})
	require.NoError(t, shared.err)
	return At(t, cp, cp.Namespace(t))
}

// At returns an existing namespace of a control plane. It starts nothing.
func At(t *testing.T, cp *testkit.ControlPlane, namespace string) *Env {
	t.Helper()
	weir, err := versioned.NewForConfig(cp.RESTConfig())
	require.NoError(t, err)
	return &Env{t, cp, weir, namespace}
}

// Start runs a process in a goroutine and returns a function that stops it and waits for its end. The end of the test
// also stops it. The test fails if the process returns an error.
func Start(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// Nodes adds simulated nodes with agents and returns their names and the agents.
func (e *Env) Nodes(n int, options ...testkit.NodeOption) ([]string, []*Agent) {
	e.Helper()
	names, err := e.ControlPlane.AddNodes(e.Context(), n, options...)
	require.NoError(e, err)
	var agents []*Agent
	for _, name := range names {
		agent := &Agent{Node: name, Machine: "machine-" + name, Root: filepath.Join(e.TempDir(), name)}
		agent.Start(e)
		agents = append(agents, agent)
	}
	return names, agents
}

// Client returns an administrator's client of Kubernetes' own kinds.
func (e *Env) Client() kubernetes.Interface { return e.ControlPlane.Client() }

// Apply applies a YAML stream to the namespace.
func (e *Env) Apply(stream string) {
	e.Helper()
	_, err := e.ControlPlane.ApplyYAML(e.Context(), e.Namespace, stream)
	require.NoError(e, err)
}

// ApplyError applies a YAML stream that the API server must reject, and returns its error.
func (e *Env) ApplyError(stream string) string {
	e.Helper()
	_, err := e.ControlPlane.ApplyYAML(e.Context(), e.Namespace, stream)
	require.Error(e, err)
	return err.Error()
}

// Patch merge-patches a set.
func (e *Env) Patch(name, patch string) {
	e.Helper()
	_, err := e.ControlPlane.Kubectl(e.Context(), "patch", "klvs", name, "-n", e.Namespace, "--type=merge", "-p", patch)
	require.NoError(e, err)
}

// Eventually waits until check returns nil.
func (e *Env) Eventually(check func(context.Context) error) {
	e.Helper()
	testkit.Eventually(e, Timeout, check)
}

// Set returns a set.
func (e *Env) Set(name string) *storagev1alpha1.KafkaLocalVolumeSet {
	e.Helper()
	set, err := e.Weir.StorageV1alpha1().KafkaLocalVolumeSets(e.Namespace).Get(e.Context(), name, metav1.GetOptions{})
	require.NoError(e, err)
	return set
}

// WaitReady waits until the volumes of a set are ready, as in "9/9", and this number is bound.
func (e *Env) WaitReady(name, ready string, bound int) *storagev1alpha1.KafkaLocalVolumeSet {
	e.Helper()
	var last *storagev1alpha1.KafkaLocalVolumeSet
	e.Eventually(func(context.Context) error {
		last = e.Set(name)
		if s := last.Status; s.ObservedGeneration != last.Generation || s.Ready != ready || int(s.Bound) != bound {
			return fmt.Errorf("%s is ready and %d is bound: %+v", s.Ready, s.Bound, s)
		}
		return nil
	})
	return last
}

// WaitCondition waits until a condition of a set has this status and one of the reasons, and returns its message.
func (e *Env) WaitCondition(name, kind string, status metav1.ConditionStatus, reasons ...string) string {
	e.Helper()
	message := ""
	e.Eventually(func(context.Context) error {
		set := e.Set(name)
		c := meta.FindStatusCondition(set.Status.Conditions, kind)
		if c == nil || c.Status != status || !slices.Contains(reasons, c.Reason) {
			return fmt.Errorf("condition %s is not %s %v: %+v", kind, status, reasons, set.Status)
		}
		message = c.Message
		return nil
	})
	return message
}

// PV returns a PersistentVolume.
func (e *Env) PV(name string) *corev1.PersistentVolume {
	e.Helper()
	pv, err := e.Client().CoreV1().PersistentVolumes().Get(e.Context(), name, metav1.GetOptions{})
	require.NoError(e, err)
	return pv
}

// CreateClaims creates claims of class local-storage.
func (e *Env) CreateClaims(size string, names ...string) {
	e.Helper()
	for _, name := range names {
		_, err := e.Client().CoreV1().PersistentVolumeClaims(e.Namespace).Create(e.Context(), &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.PersistentVolumeClaimSpec{
				StorageClassName: new("local-storage"),
				AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources: corev1.VolumeResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)},
				},
			},
		}, metav1.CreateOptions{})
		require.NoError(e, err)
	}
}

// WaitBound waits until a claim is bound, and returns the name of its PersistentVolume. A PersistentVolume is Bound
// before its claim.
func (e *Env) WaitBound(name string) string {
	e.Helper()
	volume := ""
	e.Eventually(func(ctx context.Context) error {
		claim, err := e.Client().CoreV1().PersistentVolumeClaims(e.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && claim.Status.Phase != corev1.ClaimBound {
			err = fmt.Errorf("claim %s is %s", name, claim.Status.Phase)
		}
		if err == nil {
			volume = claim.Spec.VolumeName
		}
		return err
	})
	return volume
}

// DeleteClaims deletes claims and waits until they are gone.
func (e *Env) DeleteClaims(names ...string) {
	e.Helper()
	claims := e.Client().CoreV1().PersistentVolumeClaims(e.Namespace)
	for _, name := range names {
		require.NoError(e, claims.Delete(e.Context(), name, metav1.DeleteOptions{}))
	}
	e.Eventually(func(ctx context.Context) error {
		list, err := claims.List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, claim := range list.Items {
			if slices.Contains(names, claim.Name) {
				return fmt.Errorf("claim %s exists", claim.Name)
			}
		}
		return nil
	})
}

// Claims returns the claims of a set in the order of its status.
func Claims(set *storagev1alpha1.KafkaLocalVolumeSet) []string {
	var names []string
	for _, v := range set.Status.Volumes {
		names = append(names, v.Claim)
	}
	return names
}
