//go:build linux

// Package integration tests quotad on a real control plane, under the RBAC rules of its kustomize base, and its
// package.
package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	storageclient "github.com/weir-dev/weir/generated/clientset/versioned/typed/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/testkit"
	quotad "github.com/weir-dev/weir/services/quotad/internal/app"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const timeout = time.Minute

func root(elements ...string) string {
	return filepath.Join(append([]string{"..", "..", "..", ".."}, elements...)...)
}

// env is a control plane with the manifests of quotad.
type env struct {
	*testing.T
	cp *testkit.ControlPlane
	// volumes is the client of an administrator.
	volumes storageclient.GlusterVolumeInterface
}

func start(t *testing.T) *env {
	t.Helper()
	cp, ctx := testkit.New(t), t.Context()
	for _, name := range []string{"base", "quotad"} {
		manifests, err := cp.Kubectl(ctx, "kustomize", root("deploy", name))
		require.NoError(t, err)
		_, err = cp.ApplyYAML(ctx, "", manifests)
		require.NoError(t, err)
	}
	return &env{t, cp, clientOf(t, cp.RESTConfig())}
}

func clientOf(t *testing.T, config *rest.Config) storageclient.GlusterVolumeInterface {
	t.Helper()
	weir, err := versioned.NewForConfig(config)
	require.NoError(t, err)
	return weir.StorageV1alpha1().GlusterVolumes()
}

// pod is the identity of the quotad in a pod on a node.
func (e *env) pod(node string) *rest.Config {
	config := e.cp.RESTConfig()
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:weir-node:quotad",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:weir-node", "system:authenticated"},
		Extra:    map[string][]string{"authentication.kubernetes.io/node-name": {node}},
	}
	return config
}

// create creates a GlusterVolume.
func (e *env) create(name, volume string) {
	e.Helper()
	_, err := e.volumes.Create(e.Context(), &storagev1alpha1.GlusterVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: storagev1alpha1.GlusterVolumeSpec{
			Storage: "default/s", Volume: volume, Path: "subvol/ab/cd/" + name, CapacityBytes: 1 << 30, ProjectID: 1000,
		},
	}, metav1.CreateOptions{})
	require.NoError(e, err)
}

// run runs quotad in cluster mode until the end of the test.
func (e *env) run(account *rest.Config, node, glusterdDir string) {
	e.Helper()
	flags, options := quotad.Defaults(), app.DefaultOptions()
	flags.GlusterdDir, flags.StateDir, flags.NodeName = glusterdDir, filepath.Join(e.TempDir(), "state"), node
	flags.Interval = time.Second
	options.MetricsAddress = ""
	logs := io.Discard
	if os.Getenv("WEIR_LOG") != "" {
		logs = os.Stderr
	}
	running, cancel := context.WithCancel(context.WithoutCancel(e.Context()))
	ended := make(chan error, 1)
	go func() {
		ended <- app.Run(running, quotad.ClusterSpec(&flags), options, account, slog.New(slog.NewTextHandler(logs, nil)))
	}()
	e.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			e.Error(err)
		}
	})
}

// glusterdFiles writes the files of a glusterd with one brick of a replicated volume, which is not mounted.
func glusterdFiles(t *testing.T, id, volume, brick string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"glusterd.info": "UUID=" + id + "\noperating-version=100000\n",
		"vols/" + volume + "/info": "type=2\ncount=1\nstatus=1\nsub_count=1\nreplica_count=1\n" +
			"volume-id=6b1e1b4c-0000-4000-8000-000000000001\nbrick-0=node-a:-brick\n",
		"vols/" + volume + "/bricks/node-a:-brick": "uuid=" + id + "\nhostname=node-a\npath=" + brick +
			"\nreal_path=" + brick +
			"\n",
	} {
		name = filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
		require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	}
	return dir
}

// entries waits until the status of a GlusterVolume has a number of entries.
func (e *env) entries(name string, n int) (bricks []storagev1alpha1.BrickStatus) {
	e.Helper()
	testkit.Eventually(e, timeout, func(ctx context.Context) error {
		object, err := e.volumes.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if bricks = object.Status.Bricks; len(bricks) != n {
			return fmt.Errorf("status.bricks has %d entries, want %d: %v", len(bricks), n, bricks)
		}
		return nil
	})
	return bricks
}
