package integration

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	transforms = "org.apache.kafka.connect.transforms."
	predicates = transforms + "predicates."
)

func TestSinkTransformsRecordsThatMatchThePredicate(t *testing.T) {
	t.Parallel()
	b := sharedKafka(t)
	ofLines, rest := b.CreateTopic(t, "predicates-lines", 1), b.CreateTopic(t, "predicates-rest", 1)
	mark := []kgo.RecordHeader{{Key: "mark", Value: []byte("x")}}
	require.NoError(t, b.Client.ProduceSync(t.Context(),
		&kgo.Record{Topic: ofLines, Value: []byte("a")},
		&kgo.Record{Topic: ofLines, Value: nil},
		&kgo.Record{Topic: ofLines, Value: []byte("b"), Headers: mark},
		&kgo.Record{Topic: rest, Value: []byte("c")},
		&kgo.Record{Topic: rest, Value: nil, Headers: mark},
		&kgo.Record{Topic: rest, Value: []byte("d"), Headers: mark},
	).FirstErr())
	dir := t.TempDir()
	d := deploy(t, "predicates-sink", map[string]string{
		"connector.class": "dev.weir.connect.testplugin.RecordingSink", "topics": ofLines + "," + rest, "dir": dir,

		"predicates":                  "isLine,isMarked,isTombstone",
		"predicates.isLine.type":      predicates + "TopicNameMatches",
		"predicates.isLine.pattern":   ".*-lines",
		"predicates.isMarked.type":    predicates + "HasHeaderKey",
		"predicates.isMarked.name":    "mark",
		"predicates.isTombstone.type": predicates + "RecordIsTombstone",

		"transforms":                  "drop,line,other,marked",
		"transforms.drop.type":        transforms + "Filter",
		"transforms.drop.predicate":   "isTombstone",
		"transforms.line.type":        transforms + "HoistField$Value",
		"transforms.line.field":       "line",
		"transforms.line.predicate":   "isLine",
		"transforms.other.type":       transforms + "HoistField$Value",
		"transforms.other.field":      "other",
		"transforms.other.predicate":  "isLine",
		"transforms.other.negate":     "true",
		"transforms.marked.type":      transforms + "HoistField$Value",
		"transforms.marked.field":     "marked",
		"transforms.marked.predicate": "isMarked",
	})
	d.startTasks(1)
	out := filepath.Join(dir, "0")
	// The tombstones come before the last records of their topics.
	eventually(t, time.Minute, "all other records are written", func() bool { return len(lines(t, out)) >= 4 })
	require.ElementsMatch(t, []string{
		"0\tStruct{line=a}", "0\tStruct{marked=Struct{line=b}}",
		"0\tStruct{other=c}", "0\tStruct{marked=Struct{other=d}}",
	}, lines(t, out))
}

func TestSourceTransformsRecordsThatMatchThePredicate(t *testing.T) {
	t.Parallel()
	b := sharedKafka(t)
	topic, routed := b.CreateTopic(t, "predicates-source", 1), b.CreateTopic(t, "predicates-routed", 1)
	d := deploy(t, "predicates-source", map[string]string{
		"connector.class": sequence, "topic": topic, "count": "3",

		"predicates":                  "isRouted,isSource",
		"predicates.isRouted.type":    predicates + "TopicNameMatches",
		"predicates.isRouted.pattern": routed,
		"predicates.isSource.type":    predicates + "TopicNameMatches",
		"predicates.isSource.pattern": topic,

		// Each transform changes the topic, so that the other's predicate does not match: only the last one has an effect.
		"transforms":                   "lose,route",
		"transforms.lose.type":         transforms + "Filter",
		"transforms.lose.predicate":    "isRouted",
		"transforms.route.type":        transforms + "RegexRouter",
		"transforms.route.regex":       ".*",
		"transforms.route.replacement": routed,
		"transforms.route.predicate":   "isSource",
	})
	d.startTasks(1)
	eventually(t, time.Minute, "all records are written", func() bool { return b.Count(t, routed) >= 3 })
	require.Equal(t, []string{"0-0", "0-1", "0-2"}, b.Values(t, routed))
	require.Zero(t, b.Count(t, topic))
}
