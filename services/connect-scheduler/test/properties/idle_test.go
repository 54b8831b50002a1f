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

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/transport"
	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

const idleConnectors = 200

func TestTwoHundredIdleConnectorsCauseNoWriteAndNoReconcileInAMinute(t *testing.T) {
	if testing.Short() {
		testkit.Skip(t, "it takes more than a minute and -short is set")
	}
	t.Parallel()
	cp := controlPlane(t)
	namespace := cp.Namespace(t)
	config, requests := transport.Wrap(account)
	address := freeAddress(t)
	testenv.Start(t, func(ctx context.Context) error {
		return testenv.Run(ctx, config, testenv.Options{Namespace: namespace, MetricsAddress: address})
	})

	var stream strings.Builder
	stream.WriteString(testenv.Example("worker-config.yaml"))
	for i := range idleConnectors {
		stream.WriteString("\n---" + testenv.Manifest(fmt.Sprintf("c%d", i), 1))
	}
	_, err := cp.ApplyYAML(t.Context(), namespace, stream.String())
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
			if c.Status.State == connectv1.PhaseRunning {
				running++
			}
		}
		if running < idleConnectors {
			return fmt.Errorf("%d of %d connectors are Running", running, idleConnectors)
		}
		if quiet := time.Since(requests.LastWrite()); quiet < 5*time.Second {
			return fmt.Errorf("the last write was %s ago", quiet)
		}
		return nil
	})

	writes, before := len(requests.Writes()), reconciles(t, address)
	minute := time.NewTimer(time.Minute)
	defer minute.Stop()
	<-minute.C
	require.Equal(t, before, reconciles(t, address), "reconciles")
	require.Empty(t, requests.Writes()[writes:], "writes")
	t.Logf("%d connectors: %d writes and %v reconciles to create them; none of either in an idle minute",
		idleConnectors, writes, before)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// reconciles returns the sum of weir_reconciles_total.
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
