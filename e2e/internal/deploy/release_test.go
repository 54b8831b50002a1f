package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
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
	var deployments []appsv1.Deployment
	for _, namespace := range []string{system, privileged} {
		waitForDeployments(t, cp, namespace)
		found, err := cp.Client().AppsV1().Deployments(namespace).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		deployments = append(deployments, found.Items...)
	}
	assert.Len(t, deployments, len(files)-1)
	for _, d := range deployments {
		own := 0
		for _, c := range d.Spec.Template.Spec.Containers {
			// Sidecars of other projects have tags of their own.
			assert.Regexp(t, `^[a-z0-9.-]+/[a-z-]+/[a-z-]+:v\d+\.\d+\.\d+$`, c.Image, d.Name)
			if strings.HasPrefix(c.Image, "ghcr.io/weir-dev/") {
				assert.Regexp(t, `^ghcr\.io/weir-dev/[a-z-]+:v0\.1\.0$`, c.Image, d.Name)
				own++
			}
		}
		assert.Equal(t, 1, own, d.Name)
	}
	sums := exec.CommandContext(t.Context(), "sha256sum", "--check", "--quiet", "SHA256SUMS")
	sums.Dir, sums.Stderr = out, os.Stderr
	require.NoError(t, sums.Run())
}
