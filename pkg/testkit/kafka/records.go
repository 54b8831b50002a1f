package kafka

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-dev/weir/pkg/testkit"
)

// CreateTopic creates a topic with the cluster's replication factor and returns its name. An existing topic is left as
// it is.
func (c *Cluster) CreateTopic(t testing.TB, name string, partitions int32) string {
	t.Helper()
	// A broker that has just started may not know all others yet.
	testkit.Eventually(t, time.Minute, func(ctx context.Context) error {
		response, err := c.Admin.CreateTopic(ctx, partitions, int16(c.replicas), nil, name)
		if err == nil {
			err = response.Err
		}
		if errors.Is(err, kerr.TopicAlreadyExists) {
			return nil
		}
		return err
	})
	return name
}

// Produce writes values to a topic, without keys, over its partitions in turn.
func (c *Cluster) Produce(t testing.TB, topic string, values ...string) {
	t.Helper()
	client, err := kgo.NewClient(c.bootstrap(), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	records := make([]*kgo.Record, len(values))
	for i, value := range values {
		records[i] = &kgo.Record{Topic: topic, Value: []byte(value)}
	}
	require.NoError(t, client.ProduceSync(t.Context(), records...).FirstErr())
}

// Values returns the values of all committed records of a topic.
func (c *Cluster) Values(t testing.TB, topic string) (values []string) {
	t.Helper()
	c.EachValue(t, topic, func(value string) { values = append(values, value) })
	return values
}

// EachValue calls each for the value of every record of a topic that is committed now.
func (c *Cluster) EachValue(t testing.TB, topic string, each func(value string)) {
	t.Helper()
	ends, err := c.Admin.ListCommittedOffsets(t.Context(), topic)
	require.NoError(t, err)
	client, err := kgo.NewClient(c.bootstrap(), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.KeepControlRecords())
	require.NoError(t, err)
	defer client.Close()
	unread := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			unread[o.Partition] = o.Offset
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for len(unread) > 0 {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err0())
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				each(string(r.Value))
			}
			if r.Offset+1 >= unread[r.Partition] {
				delete(unread, r.Partition)
			}
		})
	}
}

// Count returns the sum of a topic's end offsets, which counts transaction markers too. It is 0 for a missing topic.
func (c *Cluster) Count(t testing.TB, topic string) int64 {
	t.Helper()
	ends, err := c.Admin.ListEndOffsets(t.Context(), topic)
	if err != nil {
		return 0
	}
	var count int64
	ends.Each(func(o kadm.ListedOffset) { count += max(0, o.Offset) })
	return count
}

// bootstrap returns the option that connects a client to the cluster.
func (c *Cluster) bootstrap() kgo.Opt { return kgo.SeedBrokers(strings.Split(c.Bootstrap(), ",")...) }
