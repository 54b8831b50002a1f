//go:build linux

// Package pods tests several services together, with real programs in real pods: the pods run as processes on the
// embedded control plane.
package pods

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/kafka"
	"github.com/weir-dev/weir/pkg/testkit/kubelet"
)

// timeout is long enough for JVMs that start on a busy machine.
const timeout = 3 * time.Minute

func TestMain(m *testing.M) {
	kubelet.Init()
	testkit.Main(m)
}

// connectors are connect-scheduler, two nodes that can run connect-runner, and a Kafka broker.
type connectors struct {
	*testing.T
	cp        *testkit.ControlPlane
	broker    *kafka.Cluster
	nodes     map[string]*kubelet.Node
	namespace string
}

func startConnectors(t *testing.T) *connectors {
	t.Helper()
	testkit.NeedsControlPlane(t)
	kubelet.Need(t)
	root, err := env.Root()
	require.NoError(t, err)
	image := runnerImage(t, root)
	c := &connectors{T: t, cp: testkit.New(t, testkit.WithNodes(0)), nodes: map[string]*kubelet.Node{}}
	c.broker = kafka.Start(t, kafka.Options{Properties: "group.initial.rebalance.delay.ms=0\n"})
	for range 2 {
		node := kubelet.Start(t, c.cp, kubelet.Config{
			Images: map[string]kubelet.Image{"runner:1": image}, Ports: c.broker.Ports,
		})
		c.nodes[node.Name] = node
	}
	require.NoError(t, env.Build(t.Context(), root, "connect-scheduler"))
	_, err = env.Install(t.Context(), c.cp, root, "connect-scheduler")
	require.NoError(t, err)
	scheduler, err := env.StartConnectScheduler(t.Context(), c.cp, root)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, scheduler.Stop()) })
	c.namespace = c.cp.Namespace(t)
	t.Cleanup(func() {
		if t.Failed() {
			c.explain(scheduler)
		}
	})
	return c
}

// runnerImage returns the image of connect-runner, with the test plugin. `make test` builds its Java part.
func runnerImage(t *testing.T, root string) kubelet.Image {
	t.Helper()
	kafka.Require(t)
	service := filepath.Join(root, "services", "connect-runner")
	lib := filepath.Join(service, "jvm", "runner", "target", "lib")
	plugins := filepath.Join(service, "jvm", "testplugin", "target", "plugins")
	for _, dir := range []string{lib, plugins} {
		if _, err := os.Stat(dir); err != nil {
			testkit.Skip(t, "the Java part of connect-runner is not built: run make build SERVICE=connect-runner, with Maven")
		}
	}
	require.NoError(t, env.Build(t.Context(), root, "connect-runner"))
	return kubelet.Image{
		Files: map[string]string{
			"/usr/local/bin/connect-runner": filepath.Join(root, "bin", "connect-runner"),
			"/opt/weir/runner/lib":          lib,
			"/usr/share/java/test":          plugins,
		},
		Entrypoint: []string{"connect-runner"}, User: 65532,
	}
}

func (c *connectors) explain(scheduler *env.Service) {
	c.Logf("connect-scheduler:\n%s", scheduler.Tail(20))
	out, err := c.cp.Kubectl(context.Background(), "get", "kafkaconnectors,pods,events", "-A", "-o", "wide")
	c.Logf("%s%v", out, err)
	for _, pod := range c.pods(context.Background()) {
		for name, node := range c.nodes {
			lines := strings.Split(node.Log(c.namespace, pod.Name, pod.Spec.Containers[0].Name), "\n")
			c.Logf("%s on %s:\n%s", pod.Name, name, strings.Join(lines[max(0, len(lines)-15):], "\n"))
		}
	}
}

func (c *connectors) pods(ctx context.Context) []corev1.Pod {
	list, err := c.cp.Client().CoreV1().Pods(c.namespace).List(ctx, metav1.ListOptions{})
	require.NoError(c, err)
	return list.Items
}

// apply creates a source with tasks that write consecutive numbers.
func (c *connectors) apply(name, topic string, tasks int) {
	c.Helper()
	c.kubectl("apply", "-f", c.write(fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {name: worker-config}
stringData:
  worker.properties: |
    bootstrap.servers=%s
    key.converter=org.apache.kafka.connect.storage.StringConverter
    value.converter=org.apache.kafka.connect.storage.StringConverter
    offset.storage.replication.factor=1
    offset.flush.interval.ms=500
---
apiVersion: io.confluent.csid/v1
kind: KafkaConnector
metadata: {name: %s}
spec:
  connector: {image: "runner:1"}
  task: {image: "runner:1"}
  workerConfigSecret: {name: worker-config}
  template:
    container: {jvmOptions: ["-Xmx96m"]}
  connectorConfig:
    connector.class: dev.weir.connect.testplugin.SequenceSource
    tasks.max: "%d"
    topic: %s
    batch: "10"
    pause.ms: "20"
`, c.broker.Bootstrap(), name, tasks, topic)))
}

func (c *connectors) write(manifest string) string {
	file := filepath.Join(c.TempDir(), "manifest.yaml")
	require.NoError(c, os.WriteFile(file, []byte(manifest), 0o600))
	return file
}

func (c *connectors) kubectl(args ...string) string {
	c.Helper()
	out, err := c.cp.Kubectl(c.Context(), append(args, "-n", c.namespace)...)
	require.NoError(c, err)
	return out
}

// ready waits until a connector is Ready with all tasks.
func (c *connectors) ready(name string) {
	c.Helper()
	c.kubectl("wait", "--for=condition=Ready", "--timeout="+timeout.String(), "kafkaconnector/"+name)
}

// grows waits until more records have been written.
func (c *connectors) grows(topic string) {
	c.Helper()
	before := c.broker.Count(c, topic)
	testkit.Eventually(c.T, timeout, func(context.Context) error {
		if now := c.broker.Count(c, topic); now < before+100 {
			return fmt.Errorf("%d records, %d before", now, before)
		}
		return nil
	})
}

// requireComplete requires that the tasks wrote consecutive numbers: a source without exactly-once support may write a
// number twice, but loses none.
func (c *connectors) requireComplete(topic string, tasks int) {
	c.Helper()
	highest, seen := map[string]int{}, map[string]map[int]bool{}
	c.broker.EachValue(c, topic, func(value string) {
		task, text, found := strings.Cut(value, "-")
		var number int
		_, err := fmt.Sscan(text, &number)
		require.NoError(c, err, value)
		require.True(c, found, value)
		if seen[task] == nil {
			seen[task] = map[int]bool{}
		}
		seen[task][number] = true
		highest[task] = max(highest[task], number)
	})
	require.Len(c, seen, tasks)
	for task, numbers := range seen {
		require.Len(c, numbers, highest[task]+1, "task %s lost records", task)
	}
}

func TestConnectorsMoveRecordsAndSurviveKilledPodsAndALostNode(t *testing.T) {
	t.Parallel()
	c := startConnectors(t)
	topic := c.broker.CreateTopic(t, "numbers", 2)
	began := time.Now()
	c.apply("numbers", topic, 2)
	c.ready("numbers")
	c.grows(topic)
	t.Logf("first records %.1f s after kubectl apply", time.Since(began).Seconds())

	// A container that is killed restarts in its pod.
	killed := c.pod("numbers-tasks-1")
	require.NoError(t, c.nodes[killed.Spec.NodeName].Signal(c.namespace, killed.Name, syscall.SIGKILL))
	testkit.Eventually(t, timeout, func(context.Context) error {
		if pod := c.pod(killed.Name); pod.UID != killed.UID || pod.Status.ContainerStatuses[0].RestartCount == 0 {
			return errors.New("the container has not restarted in its pod")
		}
		return nil
	})
	c.ready("numbers")
	c.grows(topic)

	// A node that is lost takes its pods with it. An administrator deletes them, as for every StatefulSet.
	lost := c.pod("numbers-tasks-0").Spec.NodeName
	require.NoError(t, c.nodes[lost].Lose(t.Context()))
	for _, pod := range c.pods(t.Context()) {
		if pod.Spec.NodeName == lost {
			err := c.cp.Client().CoreV1().Pods(c.namespace).
				Delete(t.Context(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})
			require.NoError(t, err)
		}
	}
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		for _, pod := range c.pods(ctx) {
			if pod.Spec.NodeName == lost || !env.Ready(&pod) {
				return fmt.Errorf("pod %s on node %s is %s", pod.Name, pod.Spec.NodeName, pod.Status.Phase)
			}
		}
		return nil
	})
	c.ready("numbers")
	c.grows(topic)

	c.kubectl("delete", "kafkaconnector", "numbers")
	testkit.Eventually(t, timeout, func(ctx context.Context) error {
		if pods := c.pods(ctx); len(pods) > 0 {
			return fmt.Errorf("%d pods are left", len(pods))
		}
		return nil
	})
	c.requireComplete(topic, 2)
}

func (c *connectors) pod(name string) *corev1.Pod {
	c.Helper()
	pod, err := c.cp.Client().CoreV1().Pods(c.namespace).Get(c.Context(), name, metav1.GetOptions{})
	require.NoError(c, err)
	return pod
}
