package deploy

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestTheManifestsOfAReleaseAreAppliedAndRunWithPinnedImages(t *testing.T) {
	t.Parallel()
	cp := controlPlane(t)
	out := filepath.Join(t.TempDir(), "release")
	output, err := exec.CommandContext(t.Context(), filepath.Join("..", "..", "..", "scripts", "release"), "v0.1.0", out).
		CombinedOutput()
	require.NoError(t, err, string(output))

	files := []string{filepath.Join(out, "base", "install.yaml")}
	services, err := filepath.Glob(filepath.Join(out, "*", "install.yaml"))
	require.NoError(t, err)
	require.Greater(t, len(services), 1)
	for _, file := range services {
		if file != files[0] {
			files = append(files, file)
		}
	}
	for _, file := range files {
		_, err := cp.Kubectl(t.Context(), "apply", "-f", file)
		require.NoError(t, err, "apply %s", file)
	}
	// The workloads of Weir, by kind/name: controllers are Deployments, node components are DaemonSets.
	workloads := map[string]corev1.PodSpec{}
	waitUntilAvailable(t, cp)
	for _, namespace := range []string{system, privileged} {
		deployments, err := cp.Client().AppsV1().Deployments(namespace).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		for _, d := range deployments.Items {
			workloads["Deployment/"+d.Name] = d.Spec.Template.Spec
		}
		daemonSets, err := cp.Client().AppsV1().DaemonSets(namespace).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		for _, d := range daemonSets.Items {
			workloads["DaemonSet/"+d.Name] = d.Spec.Template.Spec
		}
	}
	assert.ElementsMatch(t, []string{
		"Deployment/connect-scheduler", "Deployment/drain-cleaner", "Deployment/gluster-bridge",
		"Deployment/volume-provisioner", "DaemonSet/gluster-bridge-clients", "DaemonSet/gluster-bridge-node",
		"DaemonSet/quotad", "DaemonSet/volume-provisioner-agent",
	}, slices.Collect(maps.Keys(workloads)))
	for name, pod := range workloads {
		own := 0
		for _, c := range pod.Containers {
			// Sidecars of other projects have tags of their own.
			assert.Regexp(t, `^[a-z0-9.-]+/[a-z-]+/[a-z-]+:v\d+\.\d+\.\d+$`, c.Image, name)
			if strings.HasPrefix(c.Image, "ghcr.io/weir-dev/") {
				assert.Regexp(t, `^ghcr\.io/weir-dev/[a-z-]+:v0\.1\.0$`, c.Image, name)
				own++
			}
		}
		assert.Equal(t, 1, own, name)
	}
	notes, err := os.ReadFile(filepath.Join(out, "RELEASE_NOTES.md"))
	require.NoError(t, err)
	assert.Contains(t, string(notes), "# Weir v0.1.0\n")
	sums := exec.CommandContext(t.Context(), "sha256sum", "--check", "--quiet", "SHA256SUMS")
	sums.Dir, sums.Stderr = out, os.Stderr
	require.NoError(t, sums.Run())
}
