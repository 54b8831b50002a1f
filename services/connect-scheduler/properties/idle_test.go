package properties

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/transport"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/rig"
)

const idleConnectors = 200

func TestTwoHundredConnectorsAtRestCauseNoWriteAndNoReconcileInAMinute(t *testing.T) {
	if testing.Short() {
		testkit.Skip(t, "it takes more than a minute, and the test is -short")
	}
	t.Parallel()
	cp := controlPlane(t)
	namespace := cp.Namespace(t)
	config, wire := transport.Wrap(account)
	address := freeAddress(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- rig.Service(ctx, config, rig.Options{Namespace: namespace, MetricsAddress: address}) }()

	var stream strings.Builder
	stream.WriteString(rig.Example("worker-config.yaml"))
	for i := range idleConnectors {
		fmt.Fprintf(&stream, "\n---\napiVersion: io.confluent.csid/v1\nkind: KafkaConnector\nmetadata: {name: c%d}\nspec:\n  connector: {image: r}\n  task: {image: r}\n"+
			"  workerConfigSecret: {name: worker-config}\n  connectorConfig: {connector.class: X, tasks.max: \"1\"}\n", i)
	}
	_, err := cp.ApplyYAML(ctx, namespace, stream.String())
	require.NoError(t, err)
	weir, err := versioned.NewForConfig(cp.RESTConfig())
	require.NoError(t, err)
	testkit.Eventually(t, 8*time.Minute, func(ctx context.Context) error {
		list, err := weir.IoV1().KafkaConnectors(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		running := 0
		for _, c := range list.Items {
			if c.Status.State == "Running" {
				running++
			}
		}
		if running < idleConnectors {
			return fmt.Errorf("%d of %d run", running, idleConnectors)
		}
		if quiet := time.Since(wire.LastWrite()); quiet < 5*time.Second {
			return fmt.Errorf("the last write was %s ago", quiet)
		}
		return nil
	})

	writes, before := len(wire.Writes()), reconciles(t, address)
	minute := time.NewTimer(time.Minute)
	defer minute.Stop()
	<-minute.C
	require.Equal(t, before, reconciles(t, address), "reconciles")
	require.Empty(t, wire.Writes()[writes:], "writes")
	t.Logf("%d connectors: %d writes to make them, %v reconciles; none of either in a minute at rest", idleConnectors, writes, before)
	stop()
	require.NoError(t, <-ended)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// reconciles is the sum of weir_reconciles_total.
func reconciles(t *testing.T, address string) float64 {
	t.Helper()
	answer, err := http.Get("http://" + address + "/metrics")
	require.NoError(t, err)
	defer func() { _, _ = io.Copy(io.Discard, answer.Body); _ = answer.Body.Close() }()
	sum, lines := 0.0, bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "weir_reconciles_total{"); ok {
			var value float64
			_, err := fmt.Sscan(rest[strings.LastIndex(rest, " ")+1:], &value)
			require.NoError(t, err)
			sum += value
		}
	}
	require.NotZero(t, sum)
	return sum
}
