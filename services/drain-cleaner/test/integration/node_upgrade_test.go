package integration_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/pkg/testkit"

	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

// A rolling node upgrade with Strimzi's manifests, in which only the image was changed: each node is drained, replaced
// and uncordoned. kubectl drain must not report success while the broker is still on the node.
func TestNodeUpgradeWithStrimzisManifests(t *testing.T) {
	t.Parallel()
	cp := testkit.New(t)
	getNodes := `[{"op":"add","path":"/rules/-","value":{"apiGroups":[""],"resources":["nodes"],"verbs":["get"]}}]`
	for name, test := range map[string]struct {
		permissions string
		// succeeds is whether the drains have to succeed.
		succeeds bool
		timeout  string
	}{
		"without get nodes": {timeout: "--timeout=20s"},
		"with get nodes":    {permissions: getNodes, succeeds: true, timeout: "--timeout=90s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, err := testenv.NewEmpty(t.Context(), cp)
			require.NoError(t, err)
			ns := env.Namespace(t)
			p := startInPlaceOfStrimzis(t, env, ns, "get, list, watch, patch", test.permissions, freePort(t), freePort(t))
			env.AddTestNodes(t, 3)
			env.StatefulSet(t, ns, "my-cluster-kafka", 1, testenv.StrimziLabels)
			env.StartOperator(t, ns, 0)
			testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
				if err := p.fault(); err != nil {
					return testkit.Permanent(err)
				}
				err := env.Evict(ctx, ns, "my-cluster-kafka-0", "", metav1.DryRunAll)
				if !apierrors.IsTooManyRequests(err) {
					return fmt.Errorf("the eviction is not denied: %s", fmt.Sprint(err))
				}
				return nil
			})

			for range 3 {
				env.WaitForReady(t, ns, "my-cluster-kafka", 1)
				before := env.Pod(t, ns, "my-cluster-kafka-0")
				node := before.Spec.NodeName
				start := time.Now()
				output, err := env.Drain(t.Context(), node, test.timeout)
				t.Logf("drain of %s: %v after %s", node, err, time.Since(start).Round(time.Second))
				if test.succeeds {
					require.NoError(t, err, output)
				}
				if err == nil {
					after, getErr := env.Client().CoreV1().Pods(ns).Get(t.Context(), before.Name, metav1.GetOptions{})
					stays := getErr == nil && after.Spec.NodeName == node
					assert.False(t, stays, "kubectl drain reports success, and the broker is still on %s:\n%s", node, output)
				}
				_, err = env.Kubectl(t.Context(), "uncordon", node)
				require.NoError(t, err)
			}
			assert.NoError(t, p.fault())
		})
	}
}
