//go:build linux

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

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/kafka"
	"github.com/weir-dev/weir/pkg/testkit/kubelet"
)

// connectors are two nodes with the Deployment of connect-scheduler, as it is shipped, and a Kafka broker.
type connectors struct {
	*cluster
	broker *kafka.Cluster
}

func startConnectors(t *testing.T) *connectors {
	t.Helper()
	testkit.NeedsControlPlane(t)
	kubelet.Need(t)
	root, err := env.Root()
	require.NoError(t, err)
	image := runnerImage(t, root)
	broker := kafka.Start(t, kafka.Options{Properties: "group.initial.rebalance.delay.ms=0\n"})
	c := &connectors{startCluster(t, 2, kubelet.Config{
		Images: map[string]kubelet.Image{
			"runner:1": image, imageOf("connect-scheduler"): binary(t, root, "connect-scheduler"),
		},
		Ports: broker.Ports,
	}), broker}
	c.install(root, "connect-scheduler", "deployment/connect-scheduler")
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

// applySource creates a source with tasks that write consecutive numbers.
func (c *connectors) applySource(name, topic string, tasks int) {
	c.Helper()
	c.apply(fmt.Sprintf(`
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
`, c.broker.Bootstrap(), name, tasks, topic))
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
	c.applySource("numbers", topic, 2)
	c.ready("numbers")
	c.grows(topic)
	t.Logf("first records %.1f s after kubectl apply", time.Since(began).Seconds())

	// Containers that are killed restart in their pods.
	c.kill(env.Namespace)
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

	c.restores("numbers", topic)
	c.deletes("numbers")
	c.requireComplete(topic, 2)
}

// deletes deletes a connector and waits until its pods have ended.
func (c *connectors) deletes(name string) {
	c.Helper()
	c.kubectl("delete", "kafkaconnector", name)
	testkit.Eventually(c.T, timeout, func(ctx context.Context) error {
		for _, pod := range c.pods(ctx) {
			if pod.Labels[contract.LabelConnector] == name {
				return fmt.Errorf("pod %s is left", pod.Name)
			}
		}
		return nil
	})
}

// restores loses a connector and restores it from a copy, with the commands of docs/upgrade.md. The copy was exported
// while a request to reset the offsets was pending. No record is written again.
func (c *connectors) restores(name, topic string) {
	c.Helper()
	local := func(manifest string, annotations ...string) string {
		args := append([]string{"annotate", "--local", "-f", "-", "-o", "yaml"}, annotations...)
		out, err := c.cp.KubectlIn(c.Context(), manifest, args...)
		require.NoError(c, err)
		return out
	}
	exported := local(c.kubectl("get", "kafkaconnectors", "-o", "yaml"), contract.ConnectorOffsets+"=reset")
	require.Contains(c, exported, contract.ConnectorOffsets+": reset")
	backup := local(exported, contract.ConnectorOffsets+"-", "strimzi.io/restart-", "strimzi.io/restart-task-")
	c.deletes(name)
	before := c.values(topic)

	_, err := c.cp.KubectlIn(c.Context(), backup, "apply", "-f", "-")
	require.NoError(c, err)
	c.ready(name)
	c.grows(topic)
	after := c.values(topic)
	for value, times := range before {
		require.Equal(c, times, after[value], "%s was written again after the restore", value)
	}
	c.Logf("%d records before the restore, %d after it, none of them again", len(before), len(after))
}

// values counts each value of a topic.
func (c *connectors) values(topic string) map[string]int {
	c.Helper()
	values := map[string]int{}
	c.broker.EachValue(c, topic, func(value string) { values[value]++ })
	return values
}
