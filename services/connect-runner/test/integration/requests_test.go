package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"
)

// request runs validate or offsets and returns its result and exit code.
func (d *deployment) request(result any, mode ...string) (int, *pod) {
	d.t.Helper()
	d.files()
	output := filepath.Join(d.dir, "result.json")
	_ = os.Remove(output)
	files := []string{"--connector-config", filepath.Join(d.dir, "connector.json"), "--output", output}
	p := d.start(mode[0], slices.Concat(mode, files, d.common(mode[0])))
	code := p.exit()
	if text, err := os.ReadFile(output); err == nil {
		require.NoError(d.t, json.Unmarshal(text, result))
	}
	return code, p
}

func TestValidateReturnsThePluginsMessagesByField(t *testing.T) {
	d := deploy(t, "validated", map[string]string{"connector.class": sequence, "topic": "x"})
	d.worker["bootstrap.servers"] = "127.0.0.1:1" // validate needs no broker.
	var result contract.ValidationResult
	code, p := d.request(&result, "validate")
	require.Zero(t, code)
	require.Empty(t, result.Errors)
	require.Equal(t, contract.ReasonCompleted, p.message().Reason)
	require.JSONEq(t, `{"errors":{}}`, string(p.message().Result))

	d.connector["batch"] = "0"
	d.connector["exactly.once.support"] = "required"
	d.connector["sequence.password"] = "hunter2-and-more"
	delete(d.connector, "topic")
	code, p = d.request(&result, "validate")
	require.Equal(t, 10, code)
	require.Equal(
		t,
		[]string{"Invalid value 0 for configuration batch: Value must be at least 1"},
		result.Errors["batch"],
	)
	require.Equal(
		t,
		[]string{`Missing required configuration "topic" which has no default value.`},
		result.Errors["topic"],
	)
	require.Equal(
		t,
		[]string{"worker.properties does not have exactly.once.source.support=enabled"},
		result.Errors["exactly.once.support"],
	)
	require.Equal(t, contract.ReasonConfigInvalid, p.message().Reason)
	require.Contains(t, p.message().Message, "batch: Invalid value 0")
	require.NotEmpty(t, p.message().Result)
	require.NotContains(t, p.text(), "hunter2")
}

func TestOffsetsOfASourceAreListedAlteredAndReset(t *testing.T) {
	b := sharedKafka(t)
	topic := b.CreateTopic(t, "source-offsets", 1)
	d := deploy(t, "source-offsets", map[string]string{"connector.class": sequence, "topic": topic, "count": "50"})
	// connect-scheduler sets the topic for pods whose worker.properties name none.
	delete(d.worker, "offset.storage.topic")
	d.env = []string{contract.EnvOffsetsTopic + "=connect-e2e-offsets"}
	tasks := d.startTasks(1)
	eventually(t, time.Minute, "all is written", func() bool { return b.Count(t, topic) == 50 })
	require.Zero(t, tasks[0].term())
	require.Positive(t, b.Count(t, "connect-e2e-offsets"), "the offsets are in the topic of the environment")

	var list contract.OffsetsResult
	code, _ := d.request(&list, "offsets", "list")
	require.Zero(t, code)
	require.Len(t, list.Offsets, 1)
	require.JSONEq(t, `{"partition":{"task":"0"},"offset":{"next":50}}`, jsonText(t, list.Offsets[0]))

	offsets := write(
		t,
		filepath.Join(d.dir, "offsets.json"),
		`{"offsets":[{"partition":{"task":"0"},"offset":{"next":45}}]}`,
	)
	var done contract.OffsetsResult
	code, _ = d.request(&done, "offsets", "alter", "--offsets", offsets)
	require.Zero(t, code)
	require.Contains(t, done.Message, "have been altered successfully")
	task := d.startTask(0)
	eventually(
		t,
		time.Minute,
		"records after the altered offset are written again",
		func() bool { return b.Count(t, topic) == 55 },
	)
	require.Zero(t, task.term())

	code, p := d.request(&done, "offsets", "reset")
	require.Zero(t, code)
	require.Contains(t, done.Message, "have been reset successfully")
	require.Equal(t, contract.ReasonCompleted, p.message().Reason)
	list = contract.OffsetsResult{}
	code, _ = d.request(&list, "offsets", "list")
	require.Zero(t, code)
	require.Empty(t, list.Offsets)

	write(t, offsets, `{"offsets":`)
	code, p = d.request(&done, "offsets", "alter", "--offsets", offsets)
	require.Equal(t, 1, code)
	require.Equal(t, contract.ReasonOffsetsFailed, p.message().Reason)
}

func TestOffsetsOfASinkAreThoseOfItsConsumerGroup(t *testing.T) {
	b := sharedKafka(t)
	topic := b.CreateTopic(t, "sink-offsets", 1)
	b.Produce(t, topic, "a", "b", "c")
	dir := t.TempDir()
	d := deploy(
		t,
		"sink-offsets",
		map[string]string{"connector.class": "dev.weir.connect.testplugin.RecordingSink", "topics": topic, "dir": dir},
	)
	// The group is empty only after the session of the stopped static member has expired.
	d.connector["consumer.override.session.timeout.ms"] = "6000"
	tasks := d.startTasks(1)
	eventually(t, time.Minute, "all is read", func() bool { return len(lines(t, filepath.Join(dir, "0"))) == 3 })

	var result contract.OffsetsResult
	code, p := d.request(&result, "offsets", "reset")
	require.Equal(t, 1, code)
	require.Contains(t, p.message().Message, "its tasks haven't stopped completely yet")
	require.Zero(t, tasks[0].term())

	code, _ = d.request(&result, "offsets", "list")
	require.Zero(t, code)
	require.JSONEq(
		t,
		`[{"partition":{"kafka_topic":"sink-offsets","kafka_partition":0},"offset":{"kafka_offset":3}}]`,
		jsonText(t, result.Offsets),
	)
	group := "connect-" + namespace + "-sink-offsets"
	eventually(t, time.Minute, "the member's session is over", func() bool {
		groups, err := b.Admin.DescribeGroups(t.Context(), group)
		return err == nil && len(groups[group].Members) == 0
	})
	offsets := write(t, filepath.Join(d.dir, "offsets.json"),
		`{"offsets":[{"partition":{"kafka_topic":"sink-offsets","kafka_partition":0},"offset":{"kafka_offset":1}}]}`)
	code, _ = d.request(&result, "offsets", "alter", "--offsets", offsets)
	require.Zero(t, code)
	d.startTask(0)
	eventually(
		t,
		time.Minute,
		"records after the altered offset are read again",
		func() bool { return len(lines(t, filepath.Join(dir, "0"))) == 5 },
	)
}
