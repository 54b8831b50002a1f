package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/kafka"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/kafka/kafkatest"
)

// secondLoopback is a host on which the fake cluster does not listen.
const secondLoopback = "127.0.0.2"

// requireSilent waits until a query succeeds, and requires that of its three brokers only broker 2 is silent. Queries
// may fail before: franz-go may send any request to the silent broker first.
func requireSilent(t *testing.T, c *kafka.Clusters, bootstrap string, want bool) {
	t.Helper()
	testkit.Eventually(t, 30*time.Second, func(ctx context.Context) error {
		cluster, fault := c.Query(ctx, policy(bootstrap), time.Now())
		if cluster == nil {
			return errors.New(fault.Message)
		}
		for _, b := range cluster.Brokers {
			if b.Silent != (want && b.ID == 2) {
				return testkit.Permanent(fmt.Errorf("broker %d: silent is %t", b.ID, b.Silent))
			}
		}
		return nil
	})
}

func TestQueryReportsBrokersThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	fake := kafkatest.Start(t, three)
	c := clusters(t, nil)
	for _, host := range []string{secondLoopback, "kafka-2.invalid"} {
		fake.Change(func(s *kafkatest.Script) { s.Hosts = map[int32]string{2: host} })
		requireSilent(t, c, fake.Bootstrap(), true)
		fake.Change(func(s *kafkatest.Script) { s.Hosts = nil })
		requireSilent(t, c, fake.Bootstrap(), false)
	}
}

func TestQuerySucceedsWhileABrokerAcceptsConnectionsAndDoesNotAnswer(t *testing.T) {
	t.Parallel()
	script := three
	script.Hosts = map[int32]string{2: secondLoopback}
	fake := kafkatest.Start(t, script)
	_, port, err := net.SplitHostPort(fake.Bootstrap())
	require.NoError(t, err)
	hung, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(secondLoopback, port))
	if err != nil {
		testkit.Skip(t, "the machine has one loopback address only: "+err.Error())
	}
	t.Cleanup(func() { assert.NoError(t, hung.Close()) })
	requireSilent(t, clusters(t, nil), fake.Bootstrap(), true)
}
