// Package deploy tests the manifests in deploy/: the API server accepts them, and their Deployments become available.
package deploy

import (
	"context"
	"encoding/json"
	"errors"
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
	"k8s.io/apimachinery/pkg/labels"

	"github.com/weir-dev/weir/pkg/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const (
	system = "weir-system"
	// privileged is the namespace of services that need privileged pods.
	privileged = "weir-node"
)

var deploy = filepath.Join("..", "..", "..", "deploy")

// overlays returns the directories of all overlays.
func overlays(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(deploy, "overlays", "*", "kustomization.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var dirs []string
	for _, file := range files {
		dirs = append(dirs, filepath.Dir(file))
	}
	return dirs
}

// services returns the directories of all services.
func services(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(deploy, "*", "kustomization.yaml"))
	require.NoError(t, err)
	var dirs []string
	for _, file := range files {
		if dir := filepath.Dir(file); filepath.Base(dir) != "base" && filepath.Base(dir) != "crds" {
			dirs = append(dirs, dir)
		}
	}
	require.Len(t, dirs, 5)
	return dirs
}

func TestEveryOverlayRunsAndASecondApplyChangesNothing(t *testing.T) {
	t.Parallel()
	cp := controlPlane(t)
	for _, dir := range overlays(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			// The overlays have objects in common, so each one is deleted before the next.
			if filepath.Base(dir) == "namespaced" {
				_, err := cp.Kubectl(t.Context(), "create", "namespace", "kafka")
				require.NoError(t, err)
			}
			requireAvailable(t, cp, dir)
			requireUnchanged(t, cp, dir)
			_, err := cp.Kubectl(t.Context(), "delete", "-k", dir)
			require.NoError(t, err)
		})
	}
}

// applyComponents applies all services with components.
func applyComponents(t *testing.T, cp *testkit.ControlPlane, components ...string) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(deploy)))
	kustomization := "resources: [overlays/all]\ncomponents:\n"
	for _, component := range components {
		kustomization += "- components/" + component + "\n"
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(kustomization), 0o600))
	requireAvailable(t, cp, dir)
}

func TestComponentsAddPodMonitorsAndOneNetworkPolicyPerPod(t *testing.T) {
	t.Parallel()
	cp := controlPlane(t)
	applyComponents(t, cp, "pod-monitor", "network-policies", "drain-cleaner-network-policy")
	monitors, err := cp.Kubectl(t.Context(), "get", "podmonitors", "-n", system, "-o", "name")
	require.NoError(t, err)
	assert.Equal(t, "podmonitor.monitoring.coreos.com/weir\npodmonitor.monitoring.coreos.com/weir-connectors\n", monitors)
	policies, err := cp.Client().NetworkingV1().NetworkPolicies(metav1.NamespaceAll).
		List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for _, namespace := range []string{system, privileged} {
		pods, err := cp.Client().CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		require.NotEmpty(t, pods.Items)
		for _, pod := range pods.Items {
			covered := 0
			for _, policy := range policies.Items {
				selector, err := metav1.LabelSelectorAsSelector(&policy.Spec.PodSelector)
				require.NoError(t, err)
				if policy.Namespace == namespace && selector.Matches(labels.Set(pod.Labels)) {
					covered++
				}
			}
			assert.Equal(t, 1, covered, "%s/%s", namespace, pod.Name)
		}
	}
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

// requireAvailable applies a directory and waits until all replicas are available.
func requireAvailable(t *testing.T, cp *testkit.ControlPlane, dir string) {
	t.Helper()
	_, err := cp.Kubectl(t.Context(), "apply", "-k", dir)
	require.NoError(t, err)
	waitUntilAvailable(t, cp)
}

// waitUntilAvailable waits until all replicas of all Deployments and DaemonSets are available. The simulated nodes are
// no Gluster nodes, so that quotad has none.
func waitUntilAvailable(t *testing.T, cp *testkit.ControlPlane) {
	t.Helper()
	testkit.Eventually(t, 2*time.Minute, func(ctx context.Context) error {
		deployments, err := cp.Client().AppsV1().Deployments(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		daemonSets, err := cp.Client().AppsV1().DaemonSets(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if len(deployments.Items)+len(daemonSets.Items) == 0 {
			return errors.New("there is neither a Deployment nor a DaemonSet")
		}
		for _, d := range deployments.Items {
			if available := d.Status.AvailableReplicas; available != *d.Spec.Replicas {
				return fmt.Errorf("deployment %s: %d of %d replicas are available: %v",
					d.Name, available, *d.Spec.Replicas, d.Status.Conditions)
			}
		}
		for _, d := range daemonSets.Items {
			s := d.Status
			if s.ObservedGeneration != d.Generation || s.NumberAvailable != s.DesiredNumberScheduled {
				return fmt.Errorf("daemon set %s: %d of %d replicas are available",
					d.Name, s.NumberAvailable, s.DesiredNumberScheduled)
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
