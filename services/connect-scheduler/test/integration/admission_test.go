package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

const hostPath = `template: {task: {pod: {volumes: [{name: root, hostPath: {path: /}}]}}}`

// refusedTemplates are specs that the ValidatingAdmissionPolicy rejects, and a part of its message.
var refusedTemplates = []struct{ name, spec, message string }{
	{"hostPath for all pods", `template: {pod: {volumes: [{name: root, hostPath: {path: /}}]}}`, "volume root has a type"},
	{"hostPath for tasks", hostPath, "allowed types: secret, configMap, emptyDir, persistentVolumeClaim, csi, image"},
	{
		"hostPath for the connector",
		`template: {connector: {pod: {volumes: [{name: a, emptyDir: {}}, {name: b, hostPath: {path: /}}]}}}`,
		"volume b has a type",
	},
	{"nfs", `template: {pod: {volumes: [{name: share, nfs: {server: nfs, path: /}}]}}`, "volume share has a type"},
	{
		"projected token",
		`template: {pod: {volumes: [{name: t, projected: {sources: [{serviceAccountToken: {path: t}}]}}]}}`,
		"volume t has a type",
	},
	{
		"host process",
		`template: {pod: {securityContext: {windowsOptions: {hostProcess: true}}}}`,
		"hostProcess is not allowed",
	},
	{"externalIPs", `task: {image: r, serviceSpec: {ports: [{port: 1}], externalIPs: [10.0.0.1]}}`,
		"serviceSpec.externalIPs is not allowed"},
	{"ExternalName", `connector: {image: r, serviceSpec: {type: ExternalName, externalName: example.com}}`,
		"serviceSpec.type ExternalName is not allowed"},
}

// allowedTemplates are specs that the policy allows.
var allowedTemplates = map[string]string{
	"allowed volume types": `template: {pod: {volumes: [{name: a, secret: {secretName: a}}, ` +
		`{name: b, configMap: {name: b}},
      {name: c, emptyDir: {}}, {name: d, persistentVolumeClaim: {claimName: d}}, {name: e, csi: {driver: e}},
      {name: f, image: {reference: "f:1"}}]}}`,
	"runAsNonRoot false": `template: {pod: {securityContext: {runAsNonRoot: false, fsGroup: 1001}}}`,
	"LoadBalancer":       `task: {image: r, serviceSpec: {type: LoadBalancer, ports: [{port: 1}]}}`,
	"no template":        `template: null`,
}

// dryRun applies a manifest without saving it.
func dryRun(ctx context.Context, env *testenv.Env, manifest string) error {
	_, err := env.ControlPlane.KubectlIn(ctx, manifest, "apply", "--dry-run=server", "-f", "-", "-n", env.Namespace)
	return err
}

// waitForPolicy waits until the API server enforces the ValidatingAdmissionPolicy.
func waitForPolicy(env *testenv.Env) {
	env.Helper()
	env.Eventually(func(ctx context.Context) error {
		err := dryRun(ctx, env, testenv.ManifestWith("test", hostPath))
		if err == nil {
			return errors.New("the policy is not enforced")
		}
		if !strings.Contains(err.Error(), "ValidatingAdmissionPolicy") {
			return fmt.Errorf("the policy is not enforced: %w", err)
		}
		return nil
	})
}

func TestAdmissionPolicyRejectsTemplatesThatReachTheNode(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	waitForPolicy(env)
	for _, test := range refusedTemplates {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := dryRun(t.Context(), env, testenv.ManifestWith("test", test.spec))
			require.ErrorContains(t, err, test.message)
		})
	}
	t.Run("KafkaConnect", func(t *testing.T) {
		t.Parallel()
		connect := strings.Replace(strimziStorage, "    template:\n      pod:\n",
			"    template:\n      pod:\n        volumes: [{name: root, hostPath: {path: /}}]\n", 1)
		require.ErrorContains(t, dryRun(t.Context(), env, connect), "volume root has a type")
	})
}

func TestAdmissionPolicyAllowsOtherTemplates(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	waitForPolicy(env)
	for name, spec := range allowedTemplates {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, dryRun(t.Context(), env, testenv.ManifestWith("test", spec)))
		})
	}
}

func TestAdmissionPolicyAllowsOtherChangesOfOlderObjects(t *testing.T) {
	t.Parallel()
	env := testenv.NewIsolated(t, testenv.Options{})
	admission := testenv.Deploy("connect-scheduler", "admission")
	env.Kubectl("delete", "-k", admission)
	manifest := testenv.ManifestWith("test", hostPath)
	env.Eventually(func(ctx context.Context) error {
		_, err := env.ControlPlane.ApplyYAML(ctx, env.Namespace, manifest)
		return err
	})
	env.Kubectl("apply", "-k", admission)
	env.Eventually(func(ctx context.Context) error {
		if err := dryRun(ctx, env, testenv.ManifestWith("other", hostPath)); err == nil {
			return errors.New("the policy is not enforced")
		}
		return nil
	})
	env.Kubectl("label", "kctr/test", "team=platform")
	env.Patch("test", `{"spec":{"state":"stopped"}}`)
}

func TestConnectSchedulerRejectsTemplatesThatReachTheNodeWithoutThePolicy(t *testing.T) {
	t.Parallel()
	env := testenv.NewIsolated(t, testenv.Options{})
	env.Kubectl("delete", "-k", testenv.Deploy("connect-scheduler", "admission"))
	env.ApplyWorkerConfig()
	manifest := testenv.ManifestWith("test", hostPath)
	env.Eventually(func(ctx context.Context) error {
		_, err := env.ControlPlane.ApplyYAML(ctx, env.Namespace, manifest)
		return err
	})
	env.WaitCondition(
		"test", connectv1.ConditionConfigValid, metav1.ConditionFalse, connectv1.ReasonTemplateNotAllowed)
	pods, err := env.ControlPlane.Client().CoreV1().Pods(env.Namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Empty(t, pods.Items)
}
