package properties

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/perturb"
	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

// unused are permissions that no request needs to use. connect-scheduler needs them to grant them to the connector's
// pod, and for the admission plugin OwnerReferencesPermissionEnforcement. A Secret is read only while a new
// connectorConfig is held back; TestScaleAppliesWhileANewConfigIsRejected covers this.
var unused = []string{"get secrets", "update kafkaconnectors/finalizers", "update kafkaconnects/finalizers"}

// obsoleteConfigMap is a ConfigMap of an older version that no pod mounts.
const obsoleteConfigMap = `
apiVersion: v1
kind: ConfigMap
metadata:
  name: test-tasks
  labels: {app.kubernetes.io/managed-by: connect-scheduler, app.kubernetes.io/instance: test}
`

func TestEveryPermissionIsUsedAndNoneIsMissing(t *testing.T) {
	t.Parallel()
	cp := controlPlane(t)
	namespace := cp.Namespace(t)
	used := &testkit.Permissions{}
	config := rest.CopyConfig(account)
	config.Wrap(used.Record)
	stop := testenv.Start(t, func(ctx context.Context) error {
		return testenv.Run(ctx, config, testenv.Options{Namespace: namespace})
	})

	env := perturb.Env{ControlPlane: cp, Namespace: namespace}
	apply := func(stream string) {
		_, err := cp.ApplyYAML(t.Context(), namespace, stream)
		require.NoError(t, err)
	}
	kubectl := func(args ...string) {
		_, err := cp.Kubectl(t.Context(), append(args, "-n", namespace)...)
		require.NoError(t, err)
	}
	waitFor := func(state, summary string) {
		check := func(ctx context.Context) error { return hasState(ctx, env, state, summary) }
		testkit.Eventually(t, time.Minute, check)
	}
	apply(testenv.Example("worker-config.yaml"))
	apply(testenv.Example("shared-volume.yaml"))
	apply(connector)
	waitFor("Running", "3/3")
	apply(obsoleteConfigMap)
	kubectl("patch", "kctr", "test", "--type=merge", "-p", `{"spec":{"task":{"image":"runner:2","serviceSpec":null}}}`)
	waitFor("Running", "3/3")
	kubectl("annotate", "kctr/test", "strimzi.io/restart=true")
	kubectl("patch", "kctr", "test", "--type=merge", "-p",
		`{"spec":{"tasksMax":2,"connectorConfig":{"fake.invalid":"scaled while it is rejected"}}}`)
	// Events are sent asynchronously. A repeated event is patched.
	granted, err := cp.Granted(t.Context(), "weir-connect-scheduler", "weir-connect-scheduler-storage")
	require.NoError(t, err)
	testkit.Eventually(t, time.Minute, func(context.Context) error {
		for _, right := range granted {
			if !slices.Contains(used.Used(), right) && !slices.Contains(unused, right) && right != "patch events" {
				return fmt.Errorf("no request used %q of the ClusterRole; used: %v", right, used.Used())
			}
		}
		return nil
	})
	stop()
	require.Empty(t, used.Forbidden(), "requests that the ClusterRole does not allow")
}
