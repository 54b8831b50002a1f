package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
	waitForDeployments(t, cp, system)
	deployments, err := cp.Client().AppsV1().Deployments(system).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	assert.Len(t, deployments.Items, len(files)-1)
	for _, d := range deployments.Items {
		for _, c := range d.Spec.Template.Spec.Containers {
			assert.Regexp(t, `^ghcr\.io/weir-dev/[a-z-]+:v0\.1\.0$`, c.Image, d.Name)
		}
	}
	sums := exec.CommandContext(t.Context(), "sha256sum", "--check", "--quiet", "SHA256SUMS")
	sums.Dir, sums.Stderr = out, os.Stderr
	require.NoError(t, sums.Run())
}
