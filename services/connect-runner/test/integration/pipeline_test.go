package integration

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"
)

var sentRecords = regexp.MustCompile(
	`kafka_connect_sink_task_metrics_sink_record_send_total\{connector="file-sink",task="\d"\} [1-9]`,
)

func TestFileIsCopiedThroughATopicByThreeTasks(t *testing.T) {
	const records = 100_000
	b := sharedKafka(t)
	topic := b.CreateTopic(t, "pipeline", 6)
	in := filepath.Join(t.TempDir(), "in.txt")
	out := filepath.Join(t.TempDir(), "out.txt")
	var text strings.Builder
	for i := range records {
		fmt.Fprintf(&text, "line %d\n", i)
	}
	write(t, in, text.String())

	began := time.Now()
	source := deploy(t, "file-source", map[string]string{
		"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector",
		"tasks.max":       "1",
		"file":            in,
		"topic":           topic,

		"exactly.once.support": "required",
	})
	source.worker["exactly.once.source.support"] = "enabled"
	source.startTasks(1)
	sink := deploy(t, "file-sink", map[string]string{
		"connector.class": "FileStreamSink",
		"tasks.max":       "3",
		"file":            out,
		"topics":          topic,
	})
	sink.worker["consumer.isolation.level"] = "read_committed"
	tasks := sink.startTasks(3)
	// connect-scheduler removes static members only for connectors that are published as sinks.
	require.Equal(t, contract.ConnectorTypeSource, source.annotations()[contract.AnnotationConnectorType])
	require.Equal(t, contract.ConnectorTypeSink, sink.annotations()[contract.AnnotationConnectorType])

	eventually(t, 2*time.Minute, "all lines arrive", func() bool { return len(lines(t, out)) >= records })
	took := time.Since(began)
	seen := map[string]int{}
	for _, line := range lines(t, out) {
		seen[line]++
	}
	require.Len(t, seen, records, "none is lost")
	for line, n := range seen {
		require.Equal(t, 1, n, "%q arrives once", line)
	}

	t.Logf(
		"%d records through 1 source task and 3 sink tasks in %s, starts included; 0 lost, 0 duplicates",
		records,
		took.Round(time.Millisecond),
	)

	// A task that joins the group late may have no records to send.
	sent := false
	for i, p := range tasks {
		eventually(t, time.Minute, "the task runs", func() bool {
			_, metrics := p.get("/metrics")
			sent = sent || sentRecords.MatchString(metrics)
			return strings.Contains(
				metrics,
				fmt.Sprintf(
					`kafka_connect_connector_task_metrics_status{connector="file-sink",status="running",task="%d"} 1`,
					i,
				),
			)
		})
	}
	require.True(t, sent, "the metrics count the sent records")
	for i, p := range tasks {
		require.Zero(t, p.term(), "task %d stops gracefully", i)
	}
	committed, err := b.Admin.FetchOffsets(t.Context(), "connect-"+namespace+"-file-sink")
	require.NoError(t, err)
	ends, err := b.Admin.ListEndOffsets(t.Context(), topic)
	require.NoError(t, err)
	for p := range int32(6) {
		end, ok := ends.Lookup(topic, p)
		require.True(t, ok)
		if end.Offset == 0 {
			continue
		}
		o, ok := committed.Lookup(topic, p)
		require.True(t, ok, "partition %d", p)
		require.Equal(
			t,
			end.Offset-1,
			o.At,
			"the last commit covers partition %d, except the last transaction marker",
			p,
		)
	}
}
