package kafka

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit"
)

func TestRecordsAreReadBackAfterACrashOfTheBroker(t *testing.T) {
	t.Parallel()
	cluster := Start(t, Options{})
	topic := cluster.CreateTopic(t, "orders", 2)
	require.Equal(t, topic, cluster.CreateTopic(t, "orders", 2), "an existing topic is accepted")
	cluster.Produce(t, topic, "a", "b", "c")
	require.EqualValues(t, 3, cluster.Count(t, topic))

	cluster.Nodes[0].Stop(syscall.SIGKILL)
	require.NoError(t, cluster.Nodes[0].Start())
	require.NoError(t, cluster.Ready(t.Context()))
	values := cluster.Values(t, topic)
	slices.Sort(values)
	require.Equal(t, []string{"a", "b", "c"}, values)
	require.Zero(t, cluster.Count(t, "missing"))
}

func TestStoppedBrokerLeavesTheInSyncReplicas(t *testing.T) {
	t.Parallel()
	cluster := Start(t, Options{Brokers: 3})
	topic := cluster.CreateTopic(t, "orders", 1)
	inSync := func(want int) {
		t.Helper()
		testkit.Eventually(t, time.Minute, func(ctx context.Context) error {
			topics, err := cluster.Admin.ListTopics(ctx, topic)
			if err != nil {
				return err
			}
			if isr := topics[topic].Partitions[0].ISR; len(isr) != want {
				return fmt.Errorf("%v are in sync, expected %d brokers", isr, want)
			}
			return nil
		})
	}
	inSync(3)
	cluster.Nodes[2].Stop(syscall.SIGTERM)
	inSync(2)
	require.NoError(t, cluster.Nodes[2].Start())
	inSync(3)
	lines, err := cluster.Nodes[2].LogLines("ERROR")
	require.NoError(t, err)
	require.Empty(t, lines)
}
