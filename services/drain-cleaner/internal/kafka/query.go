package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

const (
	minISRConfig       = "min.insync.replicas"
	fetchTimeoutConfig = "controller.quorum.fetch.timeout.ms"
	// metadataTopic is the log of the KRaft quorum (KIP-595).
	metadataTopic = "__cluster_metadata"
)

// query reads everything that a decision may need. It does not use kadm, which answers from a cache.
func (c *connection) query(ctx context.Context, now func() time.Time) (*decide.Cluster, error) {
	started := now()
	metadata, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, c.client)
	if err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	if len(metadata.Brokers) == 0 {
		return nil, fmt.Errorf("read metadata: %w: no brokers", errResponse)
	}
	silent := c.startPings(ctx, metadata.Brokers)
	minimums, err := minISR(ctx, c.client, metadata.Topics)
	if err != nil {
		return nil, err
	}
	partitions, err := partitions(metadata.Topics, minimums)
	if err != nil {
		return nil, err
	}
	if err := c.addELR(ctx, partitions); err != nil {
		return nil, err
	}
	quorum, err := c.quorum(ctx, metadata.Brokers[0].NodeID)
	if err != nil {
		return nil, err
	}
	id := ""
	if metadata.ClusterID != nil {
		id = *metadata.ClusterID
	}
	isSilent := silent()
	brokers := make([]decide.Broker, 0, len(metadata.Brokers))
	for i, b := range metadata.Brokers {
		brokers = append(brokers, decide.Broker{ID: b.NodeID, Host: b.Host, Silent: isSilent[i]})
	}
	return decide.NewCluster(id, brokers, partitions, quorum, started), nil
}

func partitions(topics []kmsg.MetadataResponseTopic, minimums map[string]int) ([]decide.Partition, error) {
	var all []decide.Partition
	for _, topic := range topics {
		if topic.Topic == nil || topic.ErrorCode == kerr.UnknownTopicOrPartition.Code {
			continue
		}
		if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
			return nil, fmt.Errorf("read metadata of topic %s: %w", *topic.Topic, err)
		}
		minimum, known := minimums[*topic.Topic]
		if !known {
			// The topic was deleted between the two requests.
			continue
		}
		for _, p := range topic.Partitions {
			// A partition's error code reports a missing leader or replica. Leader, Replicas and ISR show the same.
			all = append(all, decide.Partition{
				Topic: *topic.Topic, ID: p.Partition, Leader: p.Leader, Replicas: p.Replicas, ISR: p.ISR, MinISR: minimum,
			})
		}
	}
	return all, nil
}

// minISR reads min.insync.replicas of every topic. It omits topics that were deleted meanwhile.
func minISR(ctx context.Context, client *kgo.Client, topics []kmsg.MetadataResponseTopic) (map[string]int, error) {
	minimums := make(map[string]int, len(topics))
	var resources []kmsg.DescribeConfigsRequestResource
	for _, topic := range topics {
		if topic.Topic != nil {
			resources = append(resources, configResource(kmsg.ConfigResourceTypeTopic, *topic.Topic, minISRConfig))
		}
	}
	for chunk := range slices.Chunk(resources, topicsPerRequest) {
		request := kmsg.NewPtrDescribeConfigsRequest()
		request.Resources = chunk
		response, err := request.RequestWith(ctx, client)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", minISRConfig, err)
		}
		for _, resource := range response.Resources {
			err := kerr.ErrorForCode(resource.ErrorCode)
			if errors.Is(err, kerr.UnknownTopicOrPartition) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("read %s of topic %s: %w", minISRConfig, resource.ResourceName, err)
			}
			value := configValue(resource.Configs, minISRConfig)
			minimum, err := strconv.Atoi(value)
			if err != nil {
				return nil, fmt.Errorf("read %s of topic %s: %w: %.20q is not a number",
					minISRConfig, resource.ResourceName, errResponse, value)
			}
			minimums[resource.ResourceName] = minimum
		}
	}
	return minimums, nil
}

// addELR reads the eligible leader replicas of partitions whose ISR is below the minimum. Other partitions have none.
func (c *connection) addELR(ctx context.Context, partitions []decide.Partition) error {
	below := map[string]int{}
	request := kmsg.NewPtrDescribeTopicPartitionsRequest()
	request.ResponsePartitionLimit = partitionsPerRequest
	named := map[string]bool{}
	for i, p := range partitions {
		if len(p.Replicas) < 2 || len(p.ISR) >= p.MinISR {
			continue
		}
		below[p.String()] = i
		if !named[p.Topic] {
			named[p.Topic] = true
			topic := kmsg.NewDescribeTopicPartitionsRequestTopic()
			topic.Topic = p.Topic
			request.Topics = append(request.Topics, topic)
		}
	}
	if len(below) == 0 {
		return nil
	}
	// Brokers before Kafka 3.8 have no eligible leader replicas.
	if supported, err := c.supports(ctx, kmsg.DescribeTopicPartitions); err != nil || !supported {
		return err
	}
	// Topics are requested in order: the cursor of a response is the first topic that it omits.
	slices.SortFunc(request.Topics, func(a, b kmsg.DescribeTopicPartitionsRequestTopic) int {
		return strings.Compare(a.Topic, b.Topic)
	})
	for {
		response, err := request.RequestWith(ctx, c.client)
		if err != nil {
			return fmt.Errorf("read eligible leader replicas: %w", err)
		}
		for _, topic := range response.Topics {
			for _, p := range topic.Partitions {
				if i, ok := below[decide.Partition{Topic: deref(topic.Topic), ID: p.Partition}.String()]; ok {
					partitions[i].ELR = p.EligibleLeaderReplicas
				}
			}
		}
		if response.NextCursor == nil {
			return nil
		}
		cursor := kmsg.NewDescribeTopicPartitionsRequestCursor()
		cursor.Topic, cursor.Partition = response.NextCursor.Topic, response.NextCursor.Partition
		request.Cursor = &cursor
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func configResource(kind kmsg.ConfigResourceType, name, config string) kmsg.DescribeConfigsRequestResource {
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kind, name, []string{config}
	return r
}

func configValue(configs []kmsg.DescribeConfigsResponseResourceConfig, name string) string {
	for _, c := range configs {
		if c.Name == name && c.Value != nil {
			return *c.Value
		}
	}
	return ""
}

// quorum reads the KRaft quorum. It returns nil for clusters without one, and if the user may not describe the cluster:
// only role controller requires it.
func (c *connection) quorum(ctx context.Context, anyBroker int32) (*decide.Quorum, error) {
	// Brokers with ZooKeeper do not support DescribeQuorum.
	if supported, err := c.supports(ctx, kmsg.DescribeQuorum); err != nil || !supported {
		return nil, err
	}
	request := kmsg.NewPtrDescribeQuorumRequest()
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic = metadataTopic
	topic.Partitions = append(topic.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(ctx, c.client)
	if err == nil {
		err = kerr.ErrorForCode(response.ErrorCode)
	}
	switch {
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the KRaft quorum: %w", err)
	case len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1:
		return nil, fmt.Errorf("read the KRaft quorum: %w: not partition 0 of %s", errResponse, metadataTopic)
	}
	p := response.Topics[0].Partitions[0]
	switch err := kerr.ErrorForCode(p.ErrorCode); {
	case errors.Is(err, kerr.NotLeaderForPartition), errors.Is(err, kerr.LeaderNotAvailable):
		return &decide.Quorum{Leader: -1}, nil
	case err != nil:
		return nil, fmt.Errorf("read the KRaft quorum: %w", err)
	}
	q := &decide.Quorum{Leader: p.LeaderID, FetchTimeout: c.quorumFetchTimeout(ctx, anyBroker)}
	for _, v := range p.CurrentVoters {
		q.Voters = append(q.Voters, decide.Voter{ID: v.ReplicaID, LastCaughtUp: fromMillis(v.LastCaughtUpTimestamp)})
	}
	for _, o := range p.Observers {
		q.Observers = append(q.Observers, o.ReplicaID)
	}
	return q, nil
}

// supports reports whether the brokers support a request. It reads their API versions once per client.
func (c *connection) supports(ctx context.Context, key kmsg.Key) (bool, error) {
	if c.requests == nil {
		response, err := apiVersions(ctx, c.client)
		if err != nil {
			return false, fmt.Errorf("read the API versions: %w", err)
		}
		c.requests = map[int16]bool{}
		for _, k := range response.ApiKeys {
			c.requests[k.ApiKey] = true
		}
	}
	return c.requests[key.Int16()], nil
}

// apiVersions reads the API versions of a broker, or of any broker.
func apiVersions(ctx context.Context, of kmsg.Requestor) (*kmsg.ApiVersionsResponse, error) {
	request := kmsg.NewPtrApiVersionsRequest()
	request.ClientSoftwareName, request.ClientSoftwareVersion = clientID, "1"
	return request.RequestWith(ctx, of)
}

// fromMillis returns the zero time for a timestamp that is unknown to the leader.
func fromMillis(t int64) time.Time {
	if t < 0 {
		return time.Time{}
	}
	return time.UnixMilli(t)
}

// quorumFetchTimeout reads controller.quorum.fetch.timeout.ms of a broker once per client. Controllers normally have
// the same value. It returns Kafka's default if the value cannot be read.
func (c *connection) quorumFetchTimeout(ctx context.Context, broker int32) time.Duration {
	if c.fetchTimeout > 0 {
		return c.fetchTimeout
	}
	request := kmsg.NewPtrDescribeConfigsRequest()
	resource := configResource(kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(broker)), fetchTimeoutConfig)
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(ctx, c.client)
	if err != nil || len(response.Resources) != 1 {
		return decide.DefaultFetchTimeout
	}
	ms, err := strconv.Atoi(configValue(response.Resources[0].Configs, fetchTimeoutConfig))
	if err != nil || ms <= 0 {
		return decide.DefaultFetchTimeout
	}
	c.fetchTimeout = time.Duration(ms) * time.Millisecond
	return c.fetchTimeout
}
