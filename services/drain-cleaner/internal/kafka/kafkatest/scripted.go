// Package kafkatest runs a fake Kafka cluster for tests: kfake with scripted replicas, quorum and configuration.
package kafkatest

import (
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Partition is partition 0 of a topic.
type Partition struct {
	Topic         string
	Replicas, ISR []int32
	// ELR are the eligible leader replicas.
	ELR    []int32
	MinISR int
}

// Script is the content of the brokers' responses.
type Script struct {
	// ClusterID is the cluster id.
	ClusterID string
	// Brokers are the ids of the live brokers.
	Brokers []int32
	// Hosts are the advertised hosts by id. Default: the address of the fake cluster.
	Hosts map[int32]string
	// Partitions are all partitions of the cluster.
	Partitions []Partition
	// Voters are the LastCaughtUpTimestamps of the voters by id. Without voters the brokers do not support DescribeQuorum.
	Voters map[int32]int64
	// Leader is the leader of the quorum, or -1.
	Leader int32
	// Fail is the error of all topics in the metadata, or nil.
	Fail *kerr.Error
}

// Cluster is a running fake cluster.
type Cluster struct {
	*kfake.Cluster
	mu      sync.Mutex
	script  Script
	queries atomic.Int64
}

// Start runs a fake cluster until the test ends.
func Start(t testing.TB, script Script, options ...kfake.Opt) *Cluster {
	t.Helper()
	fake, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	c := &Cluster{Cluster: fake, script: script}
	c.answer(kmsg.Metadata, c.metadata)
	c.answer(kmsg.DescribeConfigs, c.configs)
	c.answer(kmsg.DescribeTopicPartitions, c.elr)
	c.answer(kmsg.DescribeQuorum, c.quorum)
	c.answer(kmsg.ApiVersions, c.versions)
	return c
}

// Bootstrap returns the address of the brokers.
func (c *Cluster) Bootstrap() string { return c.ListenAddrs()[0] }

// Queries returns the number of metadata requests.
func (c *Cluster) Queries() int64 { return c.queries.Load() }

// Change changes the script.
func (c *Cluster) Change(f func(*Script)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.script.Partitions = slices.Clone(c.script.Partitions)
	f(&c.script)
}

func (c *Cluster) answer(key kmsg.Key, f func(kmsg.Request, Script) kmsg.Response) {
	c.ControlKey(key.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		c.mu.Lock()
		script := c.script
		c.mu.Unlock()
		response := f(request, script)
		return response, nil, response != nil
	})
}

func (c *Cluster) metadata(request kmsg.Request, s Script) kmsg.Response {
	c.queries.Add(1)
	response := request.ResponseKind().(*kmsg.MetadataResponse)
	response.ClusterID, response.ControllerID = &s.ClusterID, 0
	// All brokers share the only listener. They differ in the advertised host, for tests of node ids.
	host, port := splitAddress(c.Bootstrap())
	for _, id := range s.Brokers {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port = id, host, port
		if h := s.Hosts[id]; h != "" {
			b.Host = h
		}
		response.Brokers = append(response.Brokers, b)
	}
	for _, p := range s.Partitions {
		t := kmsg.NewMetadataResponseTopic()
		t.Topic = kmsg.StringPtr(p.Topic)
		if s.Fail != nil {
			t.ErrorCode = s.Fail.Code
		}
		tp := kmsg.NewMetadataResponseTopicPartition()
		tp.Replicas, tp.ISR, tp.Leader = p.Replicas, p.ISR, -1
		if len(p.ISR) > 0 {
			tp.Leader = p.ISR[0]
		}
		t.Partitions = append(t.Partitions, tp)
		response.Topics = append(response.Topics, t)
	}
	return response
}

func (c *Cluster) configs(request kmsg.Request, s Script) kmsg.Response {
	response := request.ResponseKind().(*kmsg.DescribeConfigsResponse)
	for _, resource := range request.(*kmsg.DescribeConfigsRequest).Resources {
		r := kmsg.NewDescribeConfigsResponseResource()
		r.ResourceType, r.ResourceName = resource.ResourceType, resource.ResourceName
		for _, p := range s.Partitions {
			if resource.ResourceType == kmsg.ConfigResourceTypeTopic && p.Topic == resource.ResourceName {
				config := kmsg.NewDescribeConfigsResponseResourceConfig()
				config.Name, config.Value = "min.insync.replicas", kmsg.StringPtr(strconv.Itoa(p.MinISR))
				r.Configs = append(r.Configs, config)
			}
		}
		response.Resources = append(response.Resources, r)
	}
	return response
}

// elr describes one topic per response, so that clients have to follow the cursor.
func (c *Cluster) elr(request kmsg.Request, s Script) kmsg.Response {
	response := request.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
	describe := request.(*kmsg.DescribeTopicPartitionsRequest)
	topics, cursor := describe.Topics, describe.Cursor
	for i, topic := range topics {
		if cursor != nil && topic.Topic < cursor.Topic {
			continue
		}
		t := kmsg.NewDescribeTopicPartitionsResponseTopic()
		t.Topic = kmsg.StringPtr(topic.Topic)
		for _, p := range s.Partitions {
			if p.Topic == topic.Topic {
				tp := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
				tp.Replicas, tp.ISR, tp.EligibleLeaderReplicas = p.Replicas, p.ISR, p.ELR
				t.Partitions = append(t.Partitions, tp)
			}
		}
		response.Topics = append(response.Topics, t)
		if i+1 < len(topics) {
			next := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
			next.Topic = topics[i+1].Topic
			response.NextCursor = &next
		}
		break
	}
	return response
}

func (c *Cluster) quorum(request kmsg.Request, s Script) kmsg.Response {
	response := request.ResponseKind().(*kmsg.DescribeQuorumResponse)
	t := kmsg.NewDescribeQuorumResponseTopic()
	t.Topic = "__cluster_metadata"
	p := kmsg.NewDescribeQuorumResponseTopicPartition()
	p.LeaderID = s.Leader
	if s.Leader < 0 {
		p.ErrorCode = kerr.LeaderNotAvailable.Code
	}
	for id, caughtUp := range s.Voters {
		v := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
		v.ReplicaID, v.LastCaughtUpTimestamp = id, caughtUp
		p.CurrentVoters = append(p.CurrentVoters, v)
	}
	t.Partitions = append(t.Partitions, p)
	response.Topics = append(response.Topics, t)
	return response
}

// versions adds DescribeQuorum and DescribeTopicPartitions, which kfake does not implement.
func (c *Cluster) versions(request kmsg.Request, s Script) kmsg.Response {
	response := request.ResponseKind().(*kmsg.ApiVersionsResponse)
	for _, key := range []kmsg.Key{
		kmsg.Metadata, kmsg.DescribeConfigs, kmsg.ApiVersions, kmsg.DescribeQuorum, kmsg.DescribeTopicPartitions,
		kmsg.SASLHandshake, kmsg.SASLAuthenticate,
	} {
		if key == kmsg.DescribeQuorum && s.Voters == nil {
			continue
		}
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MaxVersion = key.Int16(), kmsg.RequestForKey(key.Int16()).MaxVersion()
		if key == kmsg.DescribeQuorum {
			k.MaxVersion = 1
		}
		response.ApiKeys = append(response.ApiKeys, k)
	}
	return response
}

func splitAddress(address string) (host string, port int32) {
	host, number, _ := net.SplitHostPort(address)
	n, _ := strconv.ParseInt(number, 10, 32)
	return host, int32(n)
}
