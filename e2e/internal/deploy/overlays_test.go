// Package deploy tests the overlays and components of deploy/ on an embedded control plane. The kind suites test each
// base, the services test their examples.
package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/pkg/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const system = "weir-system"

var deploy = filepath.Join("..", "..", "..", "deploy")

func TestEveryOverlayAppliesAndBecomesAvailable(t *testing.T) {
	t.Parallel()
	overlays, err := filepath.Glob(filepath.Join(deploy, "overlays", "*", "kustomization.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, overlays)
	for _, overlay := range overlays {
		dir := filepath.Dir(overlay)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			// All overlays use the same namespace: each needs its own control plane.
			applyAndWait(t, controlPlane(t), dir)
		})
	}
}

func TestPodMonitorComponentWorksWithABase(t *testing.T) {
	t.Parallel()
	cp := controlPlane(t)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(deploy)))
	require.NoError(
		t,
		os.WriteFile(
			filepath.Join(dir, "kustomization.yaml"),
			[]byte("resources: [connect-scheduler]\ncomponents: [components/pod-monitor]\n"),
			0o600,
		),
	)
	applyAndWait(t, cp, dir)
	monitors, err := cp.Kubectl(t.Context(), "get", "podmonitors", "-n", system, "-o", "name")
	require.NoError(t, err)
	assert.Equal(
		t,
		"podmonitor.monitoring.coreos.com/weir\npodmonitor.monitoring.coreos.com/weir-connectors\n",
		monitors,
	)
}

// controlPlane returns a control plane with the CRDs of the Prometheus operator and cert-manager.
func controlPlane(t *testing.T) *testkit.ControlPlane {
	t.Helper()
	cp := testkit.New(t)
	monitors := filepath.Join(
		module(t, "github.com/prometheus-operator/prometheus-operator@v0.85.0"),
		"example",
		"prometheus-operator-crd",
		"monitoring.coreos.com_podmonitors.yaml",
	)
	certificates := filepath.Join(module(t, "github.com/cert-manager/cert-manager@v1.21.2"), "deploy", "crds")
	_, err := cp.ApplyFiles(
		t.Context(),
		"",
		monitors,
		filepath.Join(certificates, "cert-manager.io_certificates.yaml"),
		filepath.Join(certificates, "cert-manager.io_issuers.yaml"),
	)
	require.NoError(t, err)
	return cp
}

// module downloads a Go module and returns its directory.
func module(t *testing.T, version string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", version).Output()
	require.NoError(t, err, "download %s: %s", version, out)
	var download struct{ Dir string }
	require.NoError(t, json.Unmarshal(out, &download))
	return download.Dir
}

// applyAndWait applies a directory with kubectl and waits until all Deployments are available.
func applyAndWait(t *testing.T, cp *testkit.ControlPlane, dir string) {
	t.Helper()
	_, err := cp.Kubectl(t.Context(), "apply", "-k", dir)
	require.NoError(t, err)
	waitForDeployments(t, cp)
}

// waitForDeployments waits until all replicas of all Deployments are available.
func waitForDeployments(t *testing.T, cp *testkit.ControlPlane) {
	t.Helper()
	testkit.Eventually(t, time.Minute, func(ctx context.Context) error {
		deployments, err := cp.Client().AppsV1().Deployments(system).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if len(deployments.Items) == 0 {
			return fmt.Errorf("namespace %s has no Deployment", system)
		}
		for _, d := range deployments.Items {
			if d.Status.AvailableReplicas != *d.Spec.Replicas {
				return fmt.Errorf(
					"deployment %s has %d of %d replicas available: %v",
					d.Name,
					d.Status.AvailableReplicas,
					*d.Spec.Replicas,
					d.Status.Conditions,
				)
			}
		}
		return nil
	})
}
