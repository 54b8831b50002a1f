package integration_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/weir-dev/weir/pkg/testkit"

	draincleaner "github.com/weir-dev/weir/services/drain-cleaner/internal/app"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

func TestEvictionsOfPodsWithNodeIDsOfUpToTenDigitsAreReviewed(t *testing.T) {
	t.Parallel()
	env := testenv.Install(t)
	ns := env.Namespace(t)
	env.AddTestNodes(t, 1)
	for _, name := range []string{"my-cluster-kafka-9", "my-cluster-kafka-10000", "my-cluster-kafka-2147483647"} {
		pods := env.Client().CoreV1().Pods(ns)
		_, err := pods.Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: testenv.StrimziLabels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "kafka", Image: "kafka"}}},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
			pod, err := pods.Get(ctx, name, metav1.GetOptions{})
			if err == nil && pod.Status.Phase != corev1.PodRunning {
				err = fmt.Errorf("pod %s is %s", name, pod.Status.Phase)
			}
			return err
		})
		err = env.Evict(t.Context(), ns, name, "")
		require.Error(t, err, "the eviction of %s was allowed without a review", name)
		assert.True(t, apierrors.IsTooManyRequests(err), "%s: %v", name, err)
	}
}

// arguments returns the arguments of drain-cleaner in a base or overlay.
func arguments(t *testing.T, env *testenv.Env, path ...string) []string {
	t.Helper()
	rendered, err := env.Kubectl(t.Context(), "kustomize", testenv.DeployPath(path...))
	require.NoError(t, err)
	objects, err := testkit.DecodeYAML(rendered)
	require.NoError(t, err)
	for _, o := range objects {
		if o.GetKind() == "Deployment" && o.GetName() == decide.Manager {
			containers, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
			require.NoError(t, err)
			args, _, err := unstructured.NestedStringSlice(containers[0].(map[string]any), "args")
			require.NoError(t, err)
			return args
		}
	}
	t.Fatalf("no Deployment %s in %v", decide.Manager, path)
	return nil
}

// The binary's defaults are false and auto, so that it can replace Strimzi's Drain Cleaner without new permissions.
func TestManifestsRequireACordonedNodeAndPolicies(t *testing.T) {
	t.Parallel()
	env := testenv.Install(t)
	for _, path := range [][]string{
		{"drain-cleaner"}, {"overlays", "drain-cleaner-given-secret"}, {"overlays", "drain-cleaner-cert-manager"},
		{"overlays", "all"}, {"overlays", "ha"},
	} {
		command := draincleaner.Command()
		require.NoError(t, command.ParseFlags(arguments(t, env, path...)), "%v", path)
		required, err := command.Flags().GetBool("require-node-cordoned")
		require.NoError(t, err)
		assert.True(t, required, "%v", path)
		policies, err := command.Flags().GetString("policies")
		require.NoError(t, err)
		assert.Equal(t, draincleaner.PoliciesRequired, policies, "%v", path)
	}
}

func TestNetworkPolicyComponentTakesTheCIDRsOfTheAPIServer(t *testing.T) {
	t.Parallel()
	env := testenv.Install(t)
	dir := t.TempDir()
	relative := func(path ...string) string {
		absolute, err := filepath.Abs(testenv.DeployPath(path...))
		require.NoError(t, err)
		root, err := filepath.EvalSymlinks(dir)
		require.NoError(t, err)
		result, err := filepath.Rel(root, absolute)
		require.NoError(t, err)
		return result
	}
	// As in the README.
	kustomization := fmt.Sprintf(`apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- %s
components:
- %s
patches:
- target:
    kind: NetworkPolicy
    name: drain-cleaner
  patch: |
    - op: replace
      path: /spec/ingress/0/from
      value:
      - ipBlock:
          cidr: 10.0.0.0/28
      - ipBlock:
          cidr: fd00::/64
`, relative("drain-cleaner"), relative("components", "drain-cleaner-network-policy"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(kustomization), 0o600))
	rendered, err := env.Kubectl(t.Context(), "kustomize", dir)
	require.NoError(t, err)
	objects, err := testkit.DecodeYAML(rendered)
	require.NoError(t, err)
	var policies []*unstructured.Unstructured
	for _, o := range objects {
		if o.GetKind() == "NetworkPolicy" {
			policies = append(policies, o)
		}
	}
	require.Len(t, policies, 1)
	_, err = env.Apply(t.Context(), "", policies...)
	require.NoError(t, err)
	applied, err := env.Client().
		NetworkingV1().
		NetworkPolicies(testenv.Namespace).
		Get(t.Context(), decide.Manager, metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}, applied.Spec.PolicyTypes)
	var cidrs []string
	for _, from := range applied.Spec.Ingress[0].From {
		cidrs = append(cidrs, from.IPBlock.CIDR)
	}
	assert.Equal(t, []string{"10.0.0.0/28", "fd00::/64"}, cidrs)
	assert.Equal(t, "https", applied.Spec.Ingress[0].Ports[0].Port.StrVal)
}
