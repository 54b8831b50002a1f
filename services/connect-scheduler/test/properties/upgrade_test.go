package properties

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

func TestUpgradeFromConfigMapsRestartsNoPodAndDeletesThemWithTheirLastPod(t *testing.T) {
	t.Parallel()
	cp := controlPlane(t)
	env := testenv.At(t, cp, cp.Namespace(t))
	env.ApplyWorkerConfig()
	env.Apply(testenv.Manifest("test", 2))
	previous, err := os.ReadFile("../../testdata/upgrade/config-maps.yaml")
	require.NoError(t, err)
	placeholders := strings.NewReplacer("the-namespace", env.Namespace, "the-uid", string(env.Connector("test").UID))
	_, err = cp.KubectlIn(t.Context(), placeholders.Replace(string(previous)),
		"apply", "--server-side", "--field-manager=connect-scheduler", "-n", env.Namespace, "-f", "-")
	require.NoError(t, err)
	env.WaitPods("test-connector-0", "test-tasks-0", "test-tasks-1")
	before := env.PodUIDs()

	testenv.Start(t, func(ctx context.Context) error {
		return testenv.Run(ctx, rest.CopyConfig(account), testenv.Options{Namespace: env.Namespace})
	})
	env.WaitReady("test", 2)
	env.Eventually(func(context.Context) error {
		for _, set := range []string{"test-connector", "test-tasks"} {
			volume := env.Kubectl("get", "statefulset", set, "-o",
				`jsonpath={.spec.template.spec.volumes[?(@.name=="weir-runner")].secret.secretName}`)
			if volume != "test-connector" {
				return fmt.Errorf("pods that start from now on of %s mount Secret %q", set, volume)
			}
		}
		return nil
	})
	env.Patch("test", `{"metadata":{"labels":{"team":"platform"}}}`)
	env.Eventually(func(context.Context) error {
		if env.Pod("test-tasks-1").Labels["team"] != "platform" {
			return fmt.Errorf("labels are %v", env.Pod("test-tasks-1").Labels)
		}
		return nil
	})
	require.Empty(t, env.Restarted(before), "an upgrade and new labels restart no pod")
	env.Kubectl("get", "configmap", "test-connector", "test-tasks")

	env.Patch("test", `{"spec":{"task":{"image":"runner:2"}}}`)
	env.WaitRestarted(before, 2)
	env.WaitReady("test", 2)
	require.Equal(t, []string{"test-tasks-0", "test-tasks-1"}, env.Restarted(before))
	env.Kubectl("get", "configmap", "test-connector", "test-tasks")

	env.Patch("test", `{"spec":{"connector":{"image":"runner:2"}}}`)
	env.WaitGone("configmap", "-l", "app.kubernetes.io/managed-by=connect-scheduler")
	env.WaitReady("test", 2)
	require.Len(t, env.Restarted(before), 3)
}
