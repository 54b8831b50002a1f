package integration

import (
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/kafka"
)

func TestConnectorPublishesToItsSecret(t *testing.T) {
	requireBuild(t)
	cp := testkit.Shared(t)
	ns := cp.Namespace(t)
	_, err := cp.ApplyYAML(t.Context(), ns, "apiVersion: v1\nkind: Secret\nmetadata: {name: published-tasks}\n")
	require.NoError(t, err)
	b := sharedKafka(t)
	control := write(t, filepath.Join(t.TempDir(), "control"), "a,b")
	d := deploy(t, "published", map[string]string{
		"connector.class": sequence, "topic": b.CreateTopic(t, "published", 1), "tasks.max": "3", "control.file": control,
	})
	d.files()
	args := append(
		[]string{"connector", "--connector-config", filepath.Join(d.dir, "connector.json"), "--generation", "4"},
		d.common("connector")...)
	c := d.start("connector", append(args, "--namespace", ns, "--kubeconfig", cp.Kubeconfig()))
	c.ready()
	count := func() string {
		secret, err := cp.Client().CoreV1().Secrets(ns).Get(t.Context(), "published-tasks", metav1.GetOptions{})
		require.NoError(t, err)
		require.Equal(t, "4", secret.Annotations[contract.AnnotationGeneration])
		var hashes []string
		for i := range len(secret.Data) {
			hashes = append(hashes, contract.TaskConfigHash(secret.Data[contract.TaskConfigKey(i)]))
		}
		if contract.TaskConfigsHash(hashes) != secret.Annotations[contract.AnnotationTaskConfigsHash] {
			return "inconsistent"
		}
		return secret.Annotations[contract.AnnotationTaskCount]
	}
	require.Equal(t, "2", count())
	began := time.Now()
	write(t, control, "a,b,c")
	eventually(t, time.Minute, "the Secret has three tasks", func() bool { return count() == "3" })
	t.Logf("from the connector's request to the new Secret: %s, including a debounce of 500ms",
		time.Since(began).Round(time.Millisecond))
	_, metrics := c.get("/metrics")
	require.Contains(t, metrics, `weir_connect_runner_task_configs{connector="published"} 3`)
	require.Contains(t, metrics, `weir_connect_runner_publish_total{connector="published",result="written"} 2`)
	require.Contains(t, metrics, `kafka_connect_connector_metrics_status{connector="published",status="running"} 1`)
	require.Zero(t, c.term())
}

func TestBrokerRestartLosesNoRecords(t *testing.T) {
	requireBuild(t)
	b := kafka.Start(t, brokerOptions)
	topic := b.CreateTopic(t, "away", 1)
	d := deployOn(
		t,
		b,
		"away",
		map[string]string{"connector.class": sequence, "topic": topic, "batch": "10", "pause.ms": "5"},
	)
	p := d.startTasks(1)[0]
	eventually(t, time.Minute, "records flow", func() bool { return b.Count(t, topic) > 200 })
	b.Nodes[0].Stop(syscall.SIGKILL)
	code, _ := p.get("/healthz")
	require.Equal(t, http.StatusOK, code, "health does not depend on Kafka")
	require.NoError(t, b.Nodes[0].Start())
	require.NoError(t, b.Ready(t.Context()))
	before := b.Count(t, topic)
	eventually(t, 2*time.Minute, "records flow again", func() bool { return b.Count(t, topic) > before+200 })
	require.Zero(t, p.term())
	lost, twice := tally(b.Values(t, topic), 1)
	t.Logf("after a restart of the broker: %d lost, %d duplicates", lost, twice)
	require.Zero(t, lost)
}

func TestJVMIsKilledAfterTheGracePeriod(t *testing.T) {
	b := sharedKafka(t)
	d := deploy(
		t,
		"stubborn",
		map[string]string{"connector.class": sequence, "topic": b.CreateTopic(t, "stubborn", 1), "stop.seconds": "30"},
	)
	d.startConnector().ready()
	p := d.startTask(0, "--grace", "2s")
	p.ready()
	began := time.Now()
	require.Equal(t, 1, p.term())
	require.Less(t, time.Since(began), 20*time.Second)
	require.Contains(t, p.message().Message, "the JVM did not stop within 2s and was killed")
}
