package kafka

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// metadata returns an encoded Metadata response with its correlation id.
func metadata(version int16) []byte {
	r := kmsg.NewPtrMetadataResponse()
	r.Version, r.ClusterID = version, kmsg.StringPtr("cluster")
	for id := range int32(3) {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack = id, "kafka", 9092, kmsg.StringPtr("zone")
		r.Brokers = append(r.Brokers, b)
	}
	for _, name := range []string{"orders", "carts"} {
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic = kmsg.StringPtr(name)
		for id := range int32(2) {
			p := kmsg.NewMetadataResponseTopicPartition()
			p.Partition, p.Replicas, p.ISR, p.OfflineReplicas = id, []int32{0, 1, 2}, []int32{0, 1}, []int32{2}
			topic.Partitions = append(topic.Partitions, p)
		}
		r.Topics = append(r.Topics, topic)
	}
	header := []byte{0, 0, 0, 1}
	if version >= 9 {
		header = append(header, 0) // no tagged fields
	}
	return r.AppendTo(header)
}

func TestMetadataOfEveryVersionIsAccepted(t *testing.T) {
	t.Parallel()
	for version := range kmsg.NewPtrMetadataRequest().MaxVersion() + 1 {
		assert.NoError(t, checkMetadata(metadata(version), version), "version %d", version)
	}
}

func TestTruncatedMetadataIsRejected(t *testing.T) {
	t.Parallel()
	for version := range kmsg.NewPtrMetadataRequest().MaxVersion() + 1 {
		valid := metadata(version)
		assert.Error(t, checkMetadata(valid[:len(valid)/2], version), "version %d", version)
	}
}

// FuzzCheckMetadata checks that responses that pass do not need much more memory than they have bytes.
func FuzzCheckMetadata(f *testing.F) {
	for version := range kmsg.NewPtrMetadataRequest().MaxVersion() + 1 {
		f.Add(metadata(version), version)
	}
	f.Fuzz(func(t *testing.T, response []byte, version int16) {
		if version < 0 || version > kmsg.NewPtrMetadataRequest().MaxVersion() || len(response) > 1<<16 {
			return
		}
		if checkMetadata(response, version) != nil {
			return
		}
		body := response[4:]
		if version >= 9 {
			w := &walker{rest: body, flexible: true}
			w.tags()
			body = w.rest
		}
		r := kmsg.NewPtrMetadataResponse()
		r.Version = version
		// Errors are fine: the decoder checks more.
		_ = r.ReadFrom(body)
		assert.LessOrEqual(t, cap(r.Brokers)+cap(r.Topics), len(response)/2+8)
	})
}
