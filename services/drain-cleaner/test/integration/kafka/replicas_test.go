package kafka_test

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	testkafka "github.com/weir-dev/weir/pkg/testkit/kafka"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/kafka"
)

// createTopic creates a topic with one partition on the given brokers.
func createTopic(t *testing.T, client *kgo.Client, name string, minISR int, replicas ...int32) {
	t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, -1, -1
	assignment := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
	assignment.Replicas = replicas
	topic.ReplicaAssignment = append(topic.ReplicaAssignment, assignment)
	config := kmsg.NewCreateTopicsRequestTopicConfig()
	config.Name, config.Value = "min.insync.replicas", kmsg.StringPtr(strconv.Itoa(minISR))
	topic.Configs = append(topic.Configs, config)
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics, request.TimeoutMillis = append(request.Topics, topic), 10_000
	response, err := request.RequestWith(t.Context(), client)
	require.NoError(t, err)
	require.NoError(t, kerr.ErrorForCode(response.Topics[0].ErrorCode))
}

// removal checks the removal of nodes.
type removal struct {
	clusters *kafka.Clusters
	policy   *drainv1alpha1.KafkaDrainPolicy
}

// eventually waits until the removal of a node has the given verdict; an empty reason means that it is allowed.
func (r removal) eventually(
	t *testing.T,
	id int32,
	reason decide.Reason,
) (verdict decide.Verdict, state *decide.Cluster) {
	t.Helper()
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		cluster, fault := r.clusters.Query(ctx, r.policy, time.Now())
		if cluster == nil {
			return fmt.Errorf("%s: %s", fault.Reason, fault.Message)
		}
		state, verdict = cluster, cluster.CheckRemoval(id, r.policy.Spec.Role, 0, nil)
		if verdict.Reason != reason {
			return fmt.Errorf(
				"node %d: %q instead of %q: %s; %+v",
				id,
				verdict.Reason,
				reason,
				verdict.Message,
				cluster.Partitions(),
			)
		}
		return nil
	})
	return verdict, state
}

func TestBrokerInNoISRIsEvictedAndTheLastInSyncReplicaIsNot(t *testing.T) {
	t.Parallel()
	cluster := testkafka.Start(t, testkafka.Options{Brokers: 3})
	policy := newPolicy(cluster.Bootstrap())
	r := removal{newClusters(t, nil, time.Millisecond), policy}
	createTopic(t, cluster.Client, "three-replicas", 2, 0, 1, 2)
	createTopic(t, cluster.Client, "one-replica", 1, 1)
	r.eventually(t, 1, "")

	cluster.Nodes[1].Stop(syscall.SIGKILL)
	r.eventually(t, 0, drainv1alpha1.ReasonAtMinISR)
	// Broker 1 is in no ISR. Its eviction does not change the availability of a partition.
	r.eventually(t, 1, "")

	require.NoError(t, cluster.Nodes[1].Start())
	r.eventually(t, 0, "")
	createTopic(t, cluster.Client, "two-replicas", 2, 0, 1)
	// All in sync: waiting does not help.
	r.eventually(t, 0, "")

	cluster.Nodes[1].Stop(syscall.SIGKILL)
	// Broker 0 has the last in-sync replica of two-replicas.
	verdict, _ := r.eventually(t, 0, drainv1alpha1.ReasonUnderMinISR)
	require.Contains(t, verdict.Blocking, "two-replicas-0")
	// Broker 1 is eligible to become the leader of two-replicas: it has all committed records.
	_, state := r.eventually(t, 1, drainv1alpha1.ReasonUnderMinISR)
	for _, p := range state.Partitions() {
		if p.Topic == "two-replicas" {
			require.Equal(t, []int32{1}, p.ELR)
		}
	}
}

func TestVoterOfATwoVoterQuorumIsEvictedWhileBothHaveCaughtUp(t *testing.T) {
	t.Parallel()
	cluster := testkafka.Start(t, testkafka.Options{Brokers: 2})
	policy := newPolicy(cluster.Bootstrap())
	r := removal{newClusters(t, nil, time.Millisecond), policy}
	for id := range int32(2) {
		_, state := r.eventually(t, id, "")
		require.Contains(
			t,
			state.RemovalWarning(id),
			"cluster metadata is unavailable until controller "+strconv.Itoa(int(id)),
		)
		require.Len(t, state.Quorum.Voters, 2)
	}
	// Without the other voter there is no leader, and the state of the quorum is unknown.
	cluster.Nodes[1].Stop(syscall.SIGKILL)
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		state, _ := r.clusters.Query(ctx, policy, time.Now())
		if state != nil && state.CheckRemoval(0, drainv1alpha1.RoleBroker, 0, nil).Reason == "" {
			return fmt.Errorf("the removal of the only live voter is allowed: %+v", state.Quorum)
		}
		return nil
	})
	// The quorum needs the fetch timeout to notice; from then on the removal stays denied.
	deadline := time.Now().Add(5 * time.Second)
	for time.Now().Before(deadline) {
		state, _ := r.clusters.Query(t.Context(), policy, time.Now())
		if state != nil {
			require.NotEmpty(t, state.CheckRemoval(0, drainv1alpha1.RoleBroker, 0, nil).Reason)
		}
	}
}
