// Package kafkatest scripts a Kafka cluster for tests: kfake's brokers answer, with the replicas, the quorum and the settings that the
// test gives.
package kafkatest

import (
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Partition of a topic of its own.
type Partition struct {
	Topic         string
	Replicas, ISR []int32
	MinISR        int
}

// Script is what the brokers say.
type Script struct {
	// ClusterID of the cluster.
	ClusterID string
	// Brokers that are alive; Hosts are what they advertise, by id, where that matters.
	Brokers []int32
	Hosts   map[int32]string
	// Partitions that there are.
	Partitions []Partition
	// Voters are when each voter of the quorum last caught up, in milliseconds since 1970; no quorum where nil.
	Voters map[int32]int64
	// Leader of the quorum; -1 for none.
	Leader int32
	// Fail is what the brokers answer instead of metadata; nil for nothing.
	Fail *kerr.Error
}

// Cluster is a running one.
type Cluster struct {
	*kfake.Cluster
	mu     sync.Mutex
	script Script
	looks  atomic.Int64
}

// Start runs brokers until the test ends.
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
	c.answer(kmsg.DescribeQuorum, c.quorum)
	c.answer(kmsg.ApiVersions, c.versions)
	return c
}

// Bootstrap is the address of the brokers.
func (c *Cluster) Bootstrap() string { return c.ListenAddrs()[0] }

// Looks is how often metadata were asked for.
func (c *Cluster) Looks() int64 { return c.looks.Load() }

// Change changes what the brokers say.
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
	c.looks.Add(1)
	response := request.ResponseKind().(*kmsg.MetadataResponse)
	response.ClusterID, response.ControllerID = &s.ClusterID, 0
	// All are reached at the one address that listens; what they advertise is told apart by host, which only tests of identity need.
	host, port := hostPort(c.Bootstrap())
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
	for _, asked := range request.(*kmsg.DescribeConfigsRequest).Resources {
		r := kmsg.NewDescribeConfigsResponseResource()
		r.ResourceType, r.ResourceName = asked.ResourceType, asked.ResourceName
		for _, p := range s.Partitions {
			if asked.ResourceType == kmsg.ConfigResourceTypeTopic && p.Topic == asked.ResourceName {
				config := kmsg.NewDescribeConfigsResponseResourceConfig()
				config.Name, config.Value = "min.insync.replicas", kmsg.StringPtr(strconv.Itoa(p.MinISR))
				r.Configs = append(r.Configs, config)
			}
		}
		response.Resources = append(response.Resources, r)
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

// versions adds what kfake does not know by itself.
func (c *Cluster) versions(request kmsg.Request, s Script) kmsg.Response {
	response := request.ResponseKind().(*kmsg.ApiVersionsResponse)
	for _, key := range []kmsg.Key{kmsg.Metadata, kmsg.DescribeConfigs, kmsg.ApiVersions, kmsg.DescribeQuorum, kmsg.SASLHandshake, kmsg.SASLAuthenticate} {
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
