package spec

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
)

func TestWorkerPropertiesAreReadAsJavaReadsThem(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ properties, topic, servers string }{
		"usual form":         {"bootstrap.servers=a:1,b:2\noffset.storage.topic=t\n", "t", "a:1 b:2"},
		"no topic":           {"bootstrap.servers=a:1", "", "a:1"},
		"comments and CRLF":  {"#offset.storage.topic=x\r\n ! y\r\nbootstrap.servers : a:1\r\n", "", "a:1"},
		"space as separator": {"  offset.storage.topic   t  \n", "t", ""},
		"last value counts":  {"offset.storage.topic=a\noffset.storage.topic=b", "b", ""},
		"continued line":     {"bootstrap.servers=a:1,\\\n   b:2\noffset.storage.topic=t", "t", "a:1 b:2"},
		"escaped key":        {`offset.storage\.topic=t`, "t", ""},
		"escaped colon":      {`bootstrap.servers=a\:1`, "", "a:1"},
		"similar key":        {"offset.storage.topic.x=t\nconsumer.bootstrap.servers=c:1", "", ""},
		"empty":              {"", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ReadWorker([]byte(test.properties))
			require.Equal(t, test.topic, got.OffsetsTopic)
			var servers string
			for i, s := range got.Servers {
				if i > 0 {
					servers += " "
				}
				servers += s
			}
			require.Equal(t, test.servers, servers)
		})
	}
}

func FuzzReadWorker(f *testing.F) {
	f.Add("bootstrap.servers=a:1,\\\n b:2\noffset.storage.topic : t")
	f.Add("\\")
	f.Fuzz(func(t *testing.T, properties string) {
		for _, server := range ReadWorker([]byte(properties)).Servers {
			require.NotEmpty(t, server)
		}
	})
}

func TestOffsetsOverlapOnlyInTheSameTopicOfTheSameCluster(t *testing.T) {
	t.Parallel()
	type worker struct{ namespace, servers, topic, ownTopic string }
	for name, test := range map[string]struct {
		a, b worker
		want bool
	}{
		"same topic and cluster":        {worker{"x", "k.x:1", "t", ""}, worker{"y", "k.x:1", "t", ""}, true},
		"other topic":                   {worker{"x", "k.x:1", "t", ""}, worker{"y", "k.x:1", "u", ""}, false},
		"a server in common":            {worker{"x", "k.x:1", "t", ""}, worker{"y", "z.x:1,k.x:1", "t", ""}, true},
		"short names of two namespaces": {worker{"x", "kafka:9", "t", ""}, worker{"y", "kafka:9", "t", ""}, false},
		"short and full name": {
			worker{"x", "k:9", "t", ""}, worker{"y", "K.x.svc.cluster.local.:9", "t", ""}, true,
		},
		"a scheme":                 {worker{"x", "SSL://k.x:1", "t", ""}, worker{"y", "k.x:1", "t", ""}, true},
		"a topic of the connector": {worker{"x", "k.x:1", "t", "own"}, worker{"y", "k.x:1", "u", "own"}, true},
		"placeholders":             {worker{"x", "k.x:1", "${env:T}", ""}, worker{"y", "k.x:1", "${env:T}", ""}, false},
		"only default topics":      {worker{"x", "k.x:1", "", ""}, worker{"y", "k.x:1", "", ""}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := func(w worker) offsetsStore {
				secret := &observed.Secret{Worker: ReadWorker([]byte("bootstrap.servers=" + w.servers))}
				secret.Worker.OffsetsTopic = w.topic
				return storeOf(w.namespace, "connect-"+w.namespace+"-offsets", secret,
					map[string]string{"offsets.storage.topic": w.ownTopic})
			}
			require.Equal(t, test.want, store(test.a).overlaps(store(test.b)))
			require.Equal(t, test.want, store(test.b).overlaps(store(test.a)))
		})
	}
}

func TestSinksAreRecognized(t *testing.T) {
	t.Parallel()
	for class, want := range map[string]bool{
		"org.example.JdbcSinkConnector": true, "org.example.S3": true,
		"org.apache.kafka.connect.mirror.MirrorSourceConnector": false, "org.source.HttpSink": true,
	} {
		require.Equal(t, want, isSink(map[string]string{"connector.class": class, "topics": "a"}), class)
		require.False(t, isSink(map[string]string{"connector.class": class}), class)
	}
}
