package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// broker is a single-node Kafka in KRaft mode.
type broker struct {
	address string
	log     string
	admin   *kadm.Client

	client     *kgo.Client
	java       []string
	properties string
	cmd        *exec.Cmd
}

// kafka is the broker that all tests share.
func kafka(t *testing.T) *broker {
	t.Helper()
	need(t)
	b, err := theBroker()
	require.NoError(t, err)
	return b
}

func startBroker() (*broker, error) {
	b, err := newBroker(filepath.Join(workDir, "broker"))
	if err == nil {
		cleanups = append(cleanups, b.stop)
	}
	return b, err
}

// newBroker makes a broker with its data in a directory, and starts it.
func newBroker(dir string) (*broker, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	controller, err := freePort()
	if err != nil {
		return nil, err
	}
	b := &broker{address: fmt.Sprintf("127.0.0.1:%d", port), log: filepath.Join(dir, "broker.log")}
	properties := filepath.Join(dir, "server.properties")
	config := strings.Join([]string{
		"process.roles=broker,controller",
		"node.id=1",
		fmt.Sprintf("controller.quorum.voters=1@127.0.0.1:%d", controller),
		fmt.Sprintf("listeners=PLAINTEXT://%s,CONTROLLER://127.0.0.1:%d", b.address, controller),
		"controller.listener.names=CONTROLLER",
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs=" + filepath.Join(dir, "data"),
		"num.partitions=3",
		"offsets.topic.replication.factor=1",
		"offsets.topic.num.partitions=5",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"transaction.state.log.num.partitions=5",
		"group.initial.rebalance.delay.ms=500",
		"group.coordinator.threads=1",
	}, "\n")
	if err := os.WriteFile(properties, []byte(config), 0o644); err != nil {
		return nil, err
	}
	logging := filepath.Join(dir, "log4j2.properties")
	if err := os.WriteFile(logging, []byte(brokerLogging), 0o644); err != nil {
		return nil, err
	}
	b.java = []string{"-Xmx512m", "-Dlog4j2.configurationFile=" + logging, "-cp", filepath.Join(theBuild.broker, "*")}
	b.properties = properties
	format := exec.Command("java", slices.Concat(b.java, []string{"kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", properties})...)
	if out, err := format.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format storage: %w: %s", err, out)
	}
	if b.client, err = kgo.NewClient(kgo.SeedBrokers(b.address)); err != nil {
		return nil, err
	}
	b.admin = kadm.NewClient(b.client)
	return b, b.start()
}

// start starts the broker, and waits until it answers.
func (b *broker) start() error {
	log, err := os.OpenFile(b.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	b.cmd = exec.Command("java", slices.Concat(b.java, []string{"kafka.Kafka", b.properties})...)
	b.cmd.Stdout, b.cmd.Stderr = log, log
	if err := spawn(b.cmd); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for b.client.Ping(ctx) != nil {
		if ctx.Err() != nil {
			text, _ := os.ReadFile(b.log)
			return fmt.Errorf("the broker does not answer: %s", text)
		}
	}
	return nil
}

// kill ends it at once; its data stay.
func (b *broker) kill() {
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
}

func (b *broker) stop() {
	b.kill()
	b.client.Close()
}

// What the coordinator says of rebalances is counted by a test.
const brokerLogging = `
status=ERROR
appender.stdout.type=Console
appender.stdout.name=stdout
appender.stdout.layout.type=PatternLayout
appender.stdout.layout.pattern=%p %m (%c)%n
rootLogger.level=WARN
rootLogger.appenderRef.stdout.ref=stdout
logger.group.name=org.apache.kafka.coordinator.group
logger.group.level=INFO
`

// topic makes a topic.
func (b *broker) topic(t *testing.T, name string, partitions int32) string {
	t.Helper()
	_, err := b.admin.CreateTopic(t.Context(), partitions, 1, nil, name)
	if !errors.Is(err, kerr.TopicAlreadyExists) {
		require.NoError(t, err)
	}
	return name
}

// values are the values that a reader of committed records sees in a topic now.
func (b *broker) values(t *testing.T, topic string) (values []string) {
	t.Helper()
	b.read(t, topic, func(value string) { values = append(values, value) })
	return values
}

// read hands over each of them.
func (b *broker) read(t *testing.T, topic string, each func(value string)) {
	t.Helper()
	ends, err := b.admin.ListCommittedOffsets(t.Context(), topic)
	require.NoError(t, err)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.address), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.KeepControlRecords())
	require.NoError(t, err)
	defer client.Close()
	want := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			want[o.Partition] = o.Offset
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for len(want) > 0 {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err0())
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				each(string(r.Value))
			}
			if r.Offset+1 >= want[r.Partition] {
				delete(want, r.Partition)
			}
		})
	}
}

// count is the number of records in a topic by its offsets, transaction markers included.
func (b *broker) count(t *testing.T, topic string) int64 {
	t.Helper()
	ends, err := b.admin.ListEndOffsets(t.Context(), topic)
	if err != nil {
		return 0
	}
	var n int64
	ends.Each(func(o kadm.ListedOffset) { n += max(0, o.Offset) })
	return n
}

// produce writes values to a topic.
func (b *broker) produce(t *testing.T, topic string, values ...string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.address), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	for _, v := range values {
		client.Produce(t.Context(), &kgo.Record{Topic: topic, Value: []byte(v)}, func(_ *kgo.Record, err error) {
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Error("produce:", err)
			}
		})
	}
	require.NoError(t, client.Flush(t.Context()))
}

// logLines counts lines of the broker's log that hold all words.
func (b *broker) logLines(t *testing.T, words ...string) int {
	t.Helper()
	f, err := os.Open(b.log)
	require.NoError(t, err)
	defer f.Close()
	text, err := io.ReadAll(f)
	require.NoError(t, err)
	n := 0
	for line := range strings.Lines(string(text)) {
		all := true
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		if all {
			n++
		}
	}
	return n
}
