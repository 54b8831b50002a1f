package desired

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

func TestPullPolicyDefaultsAsInKubernetes(t *testing.T) {
	t.Parallel()
	for image, want := range map[string]corev1.PullPolicy{
		"runner": corev1.PullAlways, "runner:latest": corev1.PullAlways, "registry:5000/runner": corev1.PullAlways,
		"runner:1": corev1.PullIfNotPresent, "registry:5000/a/runner:1": corev1.PullIfNotPresent,
		"runner@sha256:abc": corev1.PullIfNotPresent, "runner:latest@sha256:abc": corev1.PullIfNotPresent,
	} {
		require.Equal(t, want, pullPolicy("", image), image)
		require.Equal(t, corev1.PullNever, pullPolicy(corev1.PullNever, image), image)
	}
}
