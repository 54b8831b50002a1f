// Package deploy tests the manifests in deploy/: the API server accepts them, and their Deployments become available.
package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/pkg/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const (
	system = "weir-system"
	// privileged is the namespace of services that need privileged pods.
	privileged = "weir-node"
)

var deploy = filepath.Join("..", "..", "..", "deploy")

// kustomizations returns the directories of all services and overlays.
func kustomizations(t *testing.T) []string {
	t.Helper()
	var dirs []string
	for _, pattern := range []string{"connect-scheduler", "drain-cleaner", "volume-provisioner", "overlays/*"} {
		files, err := filepath.Glob(filepath.Join(deploy, pattern, "kustomization.yaml"))
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			dirs = append(dirs, filepath.Dir(file))
		}
	}
	return dirs
}

func TestEveryKustomizationRunsAndASecondApplyChangesNothing(t *testing.T) {
	t.Parallel()
	cp := controlPlane(t)
	for _, dir := range kustomizations(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			// The kustomizations have objects in common, so each one is deleted before the next.
			namespace := system
			if filepath.Base(dir) == "namespaced" {
				namespace = "kafka"
				_, err := cp.Kubectl(t.Context(), "create", "namespace", namespace)
				require.NoError(t, err)
			}
			requireAvailable(t, cp, dir, namespace)
			requireUnchanged(t, cp, dir)
			_, err := cp.Kubectl(t.Context(), "delete", "-k", dir)
			require.NoError(t, err)
		})
	}
}

func TestPodMonitorComponentAddsPodMonitors(t *testing.T) {
	t.Parallel()
	cp := controlPlane(t)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(deploy)))
	const kustomization = "resources: [connect-scheduler]\ncomponents: [components/pod-monitor]\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(kustomization), 0o600))
	requireAvailable(t, cp, dir, system)
	monitors, err := cp.Kubectl(t.Context(), "get", "podmonitors", "-n", system, "-o", "name")
	require.NoError(t, err)
	assert.Equal(t, "podmonitor.monitoring.coreos.com/weir\npodmonitor.monitoring.coreos.com/weir-connectors\n", monitors)
}

// controlPlane starts a control plane with deploy/base and the CRDs of the Prometheus operator and of cert-manager.
func controlPlane(t *testing.T) *testkit.ControlPlane {
	t.Helper()
	cp := testkit.New(t)
	prometheus := module(t, "github.com/prometheus-operator/prometheus-operator@v0.85.0")
	certManager := module(t, "github.com/cert-manager/cert-manager@v1.21.2")
	_, err := cp.ApplyFiles(t.Context(), "",
		filepath.Join(prometheus, "example", "prometheus-operator-crd", "monitoring.coreos.com_podmonitors.yaml"),
		filepath.Join(certManager, "deploy", "crds", "cert-manager.io_certificates.yaml"),
		filepath.Join(certManager, "deploy", "crds", "cert-manager.io_issuers.yaml"))
	require.NoError(t, err)
	base := filepath.Join(deploy, "base")
	_, err = cp.Kubectl(t.Context(), "apply", "-k", base)
	require.NoError(t, err)
	requireUnchanged(t, cp, base)
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

// requireAvailable applies a directory and waits until all replicas of its Deployments are available.
func requireAvailable(t *testing.T, cp *testkit.ControlPlane, dir, namespace string) {
	t.Helper()
	_, err := cp.Kubectl(t.Context(), "apply", "-k", dir)
	require.NoError(t, err)
	waitForDeployments(t, cp, namespace)
}

// waitForDeployments waits until all replicas of all Deployments are available.
func waitForDeployments(t *testing.T, cp *testkit.ControlPlane, namespace string) {
	t.Helper()
	testkit.Eventually(t, 2*time.Minute, func(ctx context.Context) error {
		deployments, err := cp.Client().AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if len(deployments.Items) == 0 {
			return fmt.Errorf("namespace %s has no Deployment", namespace)
		}
		for _, d := range deployments.Items {
			if available := d.Status.AvailableReplicas; available != *d.Spec.Replicas {
				return fmt.Errorf("deployment %s: %d of %d replicas are available: %v",
					d.Name, available, *d.Spec.Replicas, d.Status.Conditions)
			}
		}
		return nil
	})
}

// requireUnchanged applies a directory again and requires that no object changes.
func requireUnchanged(t *testing.T, cp *testkit.ControlPlane, dir string) {
	t.Helper()
	output, err := cp.Kubectl(t.Context(), "apply", "-k", dir)
	require.NoError(t, err)
	require.NotEmpty(t, output)
	for _, line := range strings.Split(strings.TrimSpace(output), "\n") {
		// kubectl always sends the selector of a PodDisruptionBudget, because its patch strategy is replace, and so
		// reports it as configured. kubectl diff shows that it is unchanged.
		if strings.HasPrefix(line, "poddisruptionbudget.policy/") {
			continue
		}
		require.True(t, strings.HasSuffix(line, " unchanged"), "second apply of %s: %s", dir, line)
	}
	diff, err := cp.Kubectl(t.Context(), "diff", "-k", dir)
	require.NoError(t, err, diff)
}
