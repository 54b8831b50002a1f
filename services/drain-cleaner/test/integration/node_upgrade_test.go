package integration_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weir-dev/weir/pkg/testkit"

	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

// A rolling node upgrade with Strimzi's manifests, in which only the image was changed: three brokers on four nodes,
// and each node is drained, replaced and uncordoned. The last node has a broker that moved there during the upgrade.
// kubectl drain must not report success while a broker is still on the node.
func TestNodeUpgradeWithStrimzisManifests(t *testing.T) {
	t.Parallel()
	cp := testkit.New(t)
	getNodes := `[{"op":"add","path":"/rules/-","value":{"apiGroups":[""],"resources":["nodes"],"verbs":["get"]}}]`
	for name, test := range map[string]struct {
		permissions string
		// succeeds is whether the drains have to succeed.
		succeeds bool
		timeout  string
		// rolls is how often the operator may roll a broker. Nodes that cannot be read allow one roll per broker.
		rolls int32
	}{
		"without get nodes": {timeout: "--timeout=15s", rolls: 3},
		"with get nodes":    {permissions: getNodes, succeeds: true, timeout: "--timeout=90s", rolls: 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, err := testenv.NewEmpty(t.Context(), cp)
			require.NoError(t, err)
			ns := env.Namespace(t)
			p := startInPlaceOfStrimzis(t, env, ns, "get, list, watch, patch", test.permissions, freePort(t), freePort(t))
			nodes := env.AddTestNodes(t, 4)
			env.StatefulSet(t, ns, "my-cluster-kafka", 3, testenv.StrimziLabels)
			rolled := env.StartOperator(t, ns, 0)
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
			brokersOn := func(node string) (names []string) {
				pods, err := env.Client().CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
				require.NoError(t, err)
				for _, pod := range pods.Items {
					if pod.Spec.NodeName == node {
						names = append(names, pod.Name)
					}
				}
				return names
			}
			first := map[string]types.UID{}
			for id := range 3 {
				pod := env.Pod(t, ns, fmt.Sprintf("my-cluster-kafka-%d", id))
				first[pod.Name] = pod.UID
			}
			// The node without a broker is the last one. Until then a broker has moved there.
			spare := ""
			for _, node := range nodes {
				if len(brokersOn(node)) == 0 {
					spare = node
				}
			}
			require.NotEmpty(t, spare)
			for _, node := range append(without(nodes, spare), spare) {
				env.WaitForReady(t, ns, "my-cluster-kafka", 3)
				before, start := brokersOn(node), time.Now()
				output, err := env.Drain(t.Context(), node, test.timeout)
				t.Logf("drain of %s with %v: %v after %s; then it has %v", node, before, err,
					time.Since(start).Round(time.Second), brokersOn(node))
				if test.succeeds {
					require.NoError(t, err, output)
				}
				if err == nil {
					require.Empty(t, brokersOn(node), "kubectl drain reports success, and a broker is still on %s:\n%s", node,
						output)
					replaceNode(t, env, node)
				}
				_, err = env.Kubectl(t.Context(), "uncordon", node)
				require.NoError(t, err)
			}
			env.WaitForReady(t, ns, "my-cluster-kafka", 3)
			if test.succeeds {
				for name, uid := range first {
					assert.NotEqual(t, uid, env.Pod(t, ns, name).UID, "%s has not moved", name)
				}
			}
			assert.LessOrEqual(t, rolled.Load(), test.rolls, "rolls")
			assert.NoError(t, p.fault())
		})
	}
}

func without(all []string, one string) (others []string) {
	for _, name := range all {
		if name != one {
			others = append(others, name)
		}
	}
	return others
}

// replaceNode deletes a node and creates another one of the same name, which is cordoned.
func replaceNode(t *testing.T, env *testenv.Env, name string) {
	t.Helper()
	nodes := env.Client().CoreV1().Nodes()
	old, err := nodes.Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	require.NoError(t, nodes.Delete(t.Context(), name, metav1.DeleteOptions{}))
	next := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: old.Labels, Annotations: old.Annotations},
		Spec:       corev1.NodeSpec{ProviderID: old.Spec.ProviderID, Unschedulable: true},
		Status:     corev1.NodeStatus{Capacity: old.Status.Capacity, Allocatable: old.Status.Allocatable},
	}
	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
		_, err := nodes.Create(ctx, next, metav1.CreateOptions{})
		return err
	})
}
