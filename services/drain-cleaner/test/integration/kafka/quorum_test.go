package kafka_test

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	testkafka "github.com/weir-dev/weir/pkg/testkit/kafka"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// firstController is the node id of the pod controller-0.
const firstController = 100

// separate is a cluster whose controllers and brokers are processes of their own. The ids of the brokers start at 0.
type separate struct {
	controllers, brokers []*testkafka.Node
	// bootstrap has the addresses of the brokers.
	bootstrap string
}

func startSeparate(t *testing.T, controllers, brokers int) *separate {
	t.Helper()
	testkafka.Require(t)
	c, dir := &separate{}, t.TempDir()
	ports := make([]int, controllers+brokers)
	for i := range ports {
		var err error
		ports[i], err = testkafka.FreePort()
		require.NoError(t, err)
	}
	start := func(name, properties string) *testkafka.Node {
		node, err := testkafka.NewNode(t.Context(), dir, testkafka.NodeConfig{Name: name, Properties: properties})
		require.NoError(t, err)
		require.NoError(t, node.Start())
		t.Cleanup(func() { node.Stop(syscall.SIGKILL) })
		return node
	}
	var voters, addresses []string
	for i, port := range ports[:controllers] {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", firstController+i, port))
	}
	common := fmt.Sprintf("controller.quorum.voters=%s\ncontroller.listener.names=CONTROLLER\n"+
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n", strings.Join(voters, ","))
	for i, port := range ports[:controllers] {
		c.controllers = append(c.controllers, start(fmt.Sprintf("controller-%d", i), fmt.Sprintf(
			"process.roles=controller\nnode.id=%d\nlisteners=CONTROLLER://127.0.0.1:%d\n%s", firstController+i, port, common,
		)))
	}
	for id, port := range ports[controllers:] {
		c.brokers = append(c.brokers, start(fmt.Sprintf("broker-%d", id), fmt.Sprintf(
			"process.roles=broker\nnode.id=%d\nlisteners=PLAINTEXT://127.0.0.1:%d\n%s", id, port, common,
		)))
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", port))
	}
	for _, port := range ports[controllers:] {
		require.NoError(t, testkafka.Listening(t.Context(), port))
	}
	c.bootstrap = strings.Join(addresses, ",")
	return c
}

func TestControllerIsEvictedOnlyWhileTheOthersHaveCaughtUp(t *testing.T) {
	t.Parallel()
	nodes := startSeparate(t, 3, 1)
	controllers, policy := nodes.controllers, newPolicy(nodes.bootstrap)
	offset := int32(firstController)
	policy.Spec.Role = drainv1alpha1.RoleController
	policy.Spec.BrokerID = &drainv1alpha1.BrokerID{From: drainv1alpha1.BrokerIDOrdinal, Offset: &offset}
	clusters := newClusters(t, nil, 100*time.Millisecond)
	check := func(cluster *decide.Cluster, by *drainv1alpha1.BrokerID, i int) decide.Verdict {
		id, fault := decide.Identify(by, &decide.Pod{Name: fmt.Sprintf("controller-%d", i)}, cluster)
		require.Empty(t, fault)
		return cluster.CheckRemoval(id, drainv1alpha1.RoleController, 0, nil)
	}
	// allowed waits until exactly these controllers may be removed, and returns the reasons of the others.
	allowed := func(state string, want ...bool) (reasons [3]decide.Reason) {
		testkit.Eventually(t, timeout, func(ctx context.Context) error {
			cluster, fault := clusters.Query(ctx, policy, time.Now())
			if cluster == nil {
				return fmt.Errorf("%s: %s", fault.Reason, fault.Message)
			}
			for i := range want {
				v := check(cluster, policy.Spec.BrokerID, i)
				if reasons[i] = v.Reason; (v.Reason == "") != want[i] {
					return fmt.Errorf("controller %d: %s: %s", i, v.Reason, v.Message)
				}
			}
			return nil
		})
		t.Logf("%s: %q", state, reasons)
		return reasons
	}
	only := func(i int) []bool {
		want := make([]bool, 3)
		want[i] = true
		return want
	}

	allowed("all have caught up", true, true, true)
	cluster, fault := clusters.Query(t.Context(), policy, time.Now())
	require.NotNil(t, cluster, fault.Message)
	leader := int(cluster.Quorum.Leader) - firstController
	follower := (leader + 1) % 3

	require.NoError(t, controllers[follower].Signal(syscall.SIGSTOP))
	reasons := allowed("a follower lags", only(follower)...)
	require.Equal(t, drainv1alpha1.ReasonQuorumAtRisk, reasons[leader])
	// Without the offset, the pod controller-0 has the id of broker 0.
	cluster, fault = clusters.Query(t.Context(), policy, time.Now())
	require.NotNil(t, cluster, fault.Message)
	verdict := check(cluster, nil, 0)
	require.Equal(t, drainv1alpha1.ReasonBrokerIDUnknown, verdict.Reason, verdict.Message)

	require.NoError(t, controllers[follower].Signal(syscall.SIGCONT))
	allowed("the follower has caught up", true, true, true)
	controllers[leader].Stop(syscall.SIGTERM)
	reasons = allowed("the leader stopped and another one was elected", only(leader)...)
	require.Equal(t, drainv1alpha1.ReasonQuorumAtRisk, reasons[follower])
	require.NoError(t, controllers[leader].Start())
	allowed("all have caught up again", true, true, true)
}
