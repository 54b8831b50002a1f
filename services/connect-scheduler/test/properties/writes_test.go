package properties

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/perturb"
	"github.com/weir-dev/weir/pkg/testkit/transport"
	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

// TestNewConnectorCostsOneWriteForEachObject counts the writes from the creation of a KafkaConnector until it is
// Running. They are most of what a new connector costs the API server.
func TestNewConnectorCostsOneWriteForEachObject(t *testing.T) {
	t.Parallel()
	cp := controlPlane(t)
	namespace := cp.Namespace(t)
	config, requests := transport.Wrap(account, transport.IgnoreResources("leases"))
	testenv.Start(t, func(ctx context.Context) error {
		return testenv.Run(ctx, config, testenv.Options{Namespace: namespace})
	})
	begun := time.Now()
	_, err := cp.ApplyYAML(t.Context(), namespace, testenv.Example("worker-config.yaml")+"\n---"+connector)
	require.NoError(t, err)
	env := perturb.Env{ControlPlane: cp, Namespace: namespace}
	testkit.Eventually(t, time.Minute, func(ctx context.Context) error {
		if err := hasState(ctx, env, "Running", "3/3"); err != nil {
			return err
		}
		if quiet := time.Since(requests.LastWrite()); quiet < 2*time.Second {
			return fmt.Errorf("the last write was %s ago", quiet)
		}
		return nil
	})

	writes := map[string]int{}
	for _, w := range requests.Writes() {
		w.Name = ""
		writes[w.String()]++
	}
	t.Log(writes)
	const status = "update kafkaconnectors.io.confluent.csid/status"
	statuses := writes[status]
	delete(writes, status)
	maps.DeleteFunc(writes, func(write string, _ int) bool { return write == "patch events.events.k8s.io" })
	require.Equal(t, map[string]int{
		"patch serviceaccounts":                        1,
		"patch roles.rbac.authorization.k8s.io":        1,
		"patch rolebindings.rbac.authorization.k8s.io": 1,
		"patch secrets":                                2,
		"patch statefulsets.apps":                      2,
		"patch services":                               2,
		"patch poddisruptionbudgets.policy":            1,
		"create events.events.k8s.io":                  2,
	}, writes)
	// That the spec is valid, that the task configs are published and that the connector is Ready. In between the
	// progress of the pods is written at most once per second.
	require.LessOrEqual(t, statuses, 3+int(time.Since(begun)/time.Second))
}
