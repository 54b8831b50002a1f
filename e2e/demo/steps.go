package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/e2e/internal/env"
)

const (
	service = "connect-scheduler"
	// namespace is the namespace in the manifests of the csid Connect operator's sample.
	namespace = "kafka-connect-poc"
)

// connectChapter demonstrates connect-scheduler.
var connectChapter = chapter{
	name:      "connect",
	title:     "Kafka Connect without workers",
	service:   service,
	namespace: namespace,
	intro: []string{
		"connect-scheduler runs every Kafka Connect connector and every task in its own pod. A fake runner publishes task",
		"configs in place of real connectors. The last step has a real connector and a real broker, if it can run here.",
	},
	steps: []step{
		{"Install connect-scheduler and run it with the permissions of its manifests.", 3 * stepLimit, (*demo).install},
		{
			"Apply the csid Connect operator's sample unchanged: a connector with three tasks.", stepLimit,
			(*demo).applySample,
		},
		{"Add a connector with 12 tasks.", stepLimit, (*demo).applyClicks},
		{"Change the config of one of the 12 tasks. No other task restarts.", stepLimit, (*demo).changeOneTask},
		{"Make a task fail. The status shows the failure and its cause.", stepLimit, (*demo).failTask},
		{"The kubelet restarts the container. The status shows the recovery.", stepLimit, (*demo).recoverTask},
		{"Scale the first connector to five tasks. The three running tasks do not restart.", stepLimit, (*demo).scale},
		{"Pause the second connector, then resume it.", 2 * stepLimit, (*demo).pauseAndResume},
		{"Move real records, with the real connect-runner and a Kafka broker.", buildLimit, (*demo).moveRecords},
	},
	usage: func(d *demo) *env.Service { return d.scheduler },
	explore: func(*demo) []string {
		return []string{
			"kubectl get kafkaconnectors -o wide",
			"kubectl get pods -L io.confluent.csid.connect.type -o wide",
			"kubectl describe kafkaconnector clicks",
			"kubectl get kafkaconnector clicks " +
				"-o jsonpath='{range .status.tasks[*]}{.id} {.state} {.configHash}{\"\\n\"}{end}'",
			"kubectl annotate kafkaconnector clicks strimzi.io/restart-task=3",
			`kubectl patch kafkaconnector test --type=merge -p '{"spec":{"state":"stopped"}}'`,
			"kubectl delete kafkaconnector clicks",
		}
	},
}

func (d *demo) applySample(ctx context.Context) error {
	const examples = "deploy/examples/connect-scheduler/"
	err := d.kubectl(ctx, "apply", "-f", examples+"worker-config.yaml", "-f", examples+"csid-sample.yaml")
	if err != nil {
		return err
	}
	took, err := d.untilReady(ctx, "test", 3, "Published")
	if err != nil {
		return err
	}
	pods := d.objects.podsOf("test")
	var names []string
	for _, pod := range pods {
		names = append(names, pod.Name)
		if pod.Labels["project"] != "something" || pod.Labels["cost-center"] != "boring" {
			return fmt.Errorf("pod %s does not have the labels of the KafkaConnector; it has %v", pod.Name, pod.Labels)
		}
	}
	if want := []string{"test-connector-0", "test-tasks-0", "test-tasks-1", "test-tasks-2"}; !slices.Equal(
		names,
		want,
	) {
		return fmt.Errorf("got pods %q, want %q", names, want)
	}
	memory := pods[0].Spec.Containers[0].Resources.Requests[corev1.ResourceMemory]
	if memory.String() != "512M" {
		return fmt.Errorf("pod %s requests %s of memory, want 512M", names[0], memory.String())
	}
	d.done("%s are Ready (%s).", strings.Join(names, ", "), took)
	d.done("The pods have the memory request (512M) and the labels (project, cost-center) of the KafkaConnector.")
	return nil
}

func (d *demo) applyClicks(ctx context.Context) error {
	if err := d.kubectl(ctx, "apply", "-f", "e2e/demo/clicks.yaml"); err != nil {
		return err
	}
	took, err := d.untilReady(ctx, "clicks", 12, "Published")
	if err != nil {
		return err
	}
	hashes := map[string]bool{}
	for _, task := range d.objects.connectors["clicks"].Status.Tasks {
		hashes[task.ConfigHash] = true
	}
	if len(hashes) != 12 {
		return fmt.Errorf("got %d different task configs, want 12", len(hashes))
	}
	d.done("All 12 tasks are Ready (%s). Each task has its own config.", took)
	return nil
}

// changeOneTask changes one key of one task config.
func (d *demo) changeOneTask(ctx context.Context) error {
	before := d.objects.uids("clicks")
	patch := `{"spec":{"connectorConfig":{"fake.task.7.flush.size":"500"}}}`
	if err := d.kubectl(ctx, "patch", "kafkaconnector", "clicks", "--type=merge", "-p", patch); err != nil {
		return err
	}
	want := []string{"clicks-connector-0", "clicks-tasks-7"}
	took, err := d.untilReady(ctx, "clicks", 12, "Restarting", "Restarting", "Published")
	if err != nil {
		return err
	}
	if restarted := d.objects.restarted("clicks", before); !slices.Equal(restarted, want) {
		return fmt.Errorf("restarted pods: %q, want %q", restarted, want)
	}
	rows := [][]string{{"POD", "AGE", "UID", ""}}
	for _, pod := range d.objects.podsOf("clicks") {
		row := []string{pod.Name, age(pod), string(pod.UID)[:8], d.screen.paint(dim, "unchanged")}
		switch {
		case before[pod.Name] == string(pod.UID):
		case pod.Labels[contract.LabelType] == contract.TypeConnector:
			row[3] = d.screen.paint(yellow, "restarted to compute the new task configs")
		default:
			row[3] = d.screen.paint(yellow, "restarted because its config changed")
		}
		rows = append(rows, row)
	}
	d.screen.keep()
	d.screen.line("")
	for _, line := range columns(rows) {
		d.screen.line("%s", indent+line)
	}
	d.done("%s restarted (%s). The other 11 tasks kept running.", strings.Join(want, " and "), took)
	return nil
}

// untilReady waits until a connector is Ready with a number of tasks and has the expected events of this step. It
// returns the time until Ready.
func (d *demo) untilReady(ctx context.Context, name string, tasks int32, events ...string) (took string, err error) {
	events = append(events, "AllRunning")
	err = d.until(ctx, func() error {
		if err := d.objects.ready(name, tasks); err != nil {
			took = ""
			return err
		}
		if took == "" {
			took = since(d.began)
		}
		return d.objects.hasEvents(name, d.began, events...)
	})
	return took, err
}

func (d *demo) failTask(ctx context.Context) error {
	cause := contract.Termination{
		Reason:  contract.ReasonTaskFailed,
		Message: "org.apache.kafka.connect.errors.ConnectException: bucket clicks does not exist",
	}
	d.explain("The demo writes the status that a kubelet writes after the container of clicks-tasks-3 has failed.")
	failed := time.Now()
	if err := env.Fail(ctx, d.cp.Client(), namespace, "clicks-tasks-3", cause); err != nil {
		return err
	}
	var latency time.Duration
	if err := d.until(ctx, func() error {
		c := d.objects.connectors["clicks"]
		task := c.Status.Tasks[3]
		if task.State != connectv1.PodFailed || conditionOf(c, connectv1.ConditionDegraded).Status != metav1.ConditionTrue {
			return fmt.Errorf("task 3 is %s and the connector is %s", task.State, c.Status.State)
		}
		if latency == 0 {
			latency = time.Since(failed)
		}
		return d.objects.hasEvents("clicks", failed, "TaskFailed")
	}); err != nil {
		return err
	}
	c := d.objects.connectors["clicks"]
	degraded := conditionOf(c, connectv1.ConditionDegraded)
	want := cause.Reason + ": " + cause.Message
	if got := c.Status.Tasks[3].LastError; got != want || c.Status.TaskSummary != "11/12" ||
		c.Status.State != connectv1.PhaseDegraded {
		return fmt.Errorf(
			"status: got %s %s %q, want Degraded 11/12 %q",
			c.Status.State,
			c.Status.TaskSummary,
			got,
			want,
		)
	}
	d.screen.keep()
	d.screen.line("")
	d.screen.line(indent+"Degraded=%s, %s: %s", degraded.Status, degraded.Reason, d.screen.paint(red, degraded.Message))
	d.done("The status shows the failure after %d ms. The other 11 tasks kept running.", latency.Milliseconds())
	return nil
}

func (d *demo) recoverTask(ctx context.Context) error {
	if err := env.Recover(ctx, d.cp.Client(), namespace, "clicks-tasks-3"); err != nil {
		return err
	}
	if _, err := d.untilReady(ctx, "clicks", 12, "TaskRecovered"); err != nil {
		return err
	}
	if restarts := d.objects.connectors["clicks"].Status.Restarts; restarts != 1 {
		return fmt.Errorf("status.restarts is %d, want 1", restarts)
	}
	d.done("All 12 tasks are running. The status counts one restart.")
	return nil
}

func (d *demo) scale(ctx context.Context) error {
	before := d.objects.uids("test")
	if err := d.kubectl(ctx, "scale", "kafkaconnector", "test", "--replicas=5"); err != nil {
		return err
	}
	took, err := d.untilReady(ctx, "test", 5, "Restarting", "Published", "Scaled")
	if err != nil {
		return err
	}
	if restarted := d.objects.restarted("test", before); !slices.Equal(restarted, []string{"test-connector-0"}) {
		return fmt.Errorf("restarted pods: %q, want only test-connector-0", restarted)
	}
	d.done(
		"Five tasks are Ready (%s). test-tasks-0 to test-tasks-2 kept running. An autoscaler can scale the same way.",
		took,
	)
	return nil
}

func (d *demo) pauseAndResume(ctx context.Context) error {
	before := d.objects.uids("clicks")
	if err := d.setState(ctx, "clicks", "paused"); err != nil {
		return err
	}
	if err := d.until(ctx, func() error {
		if c := d.objects.connectors["clicks"]; c.Status.State != connectv1.PhasePaused {
			return fmt.Errorf("the connector is %s, want Paused", c.Status.State)
		}
		if pods := d.objects.podsOf("clicks"); len(pods) != 1 || before[pods[0].Name] != string(pods[0].UID) {
			return fmt.Errorf("got %d pods, want only the unchanged connector pod", len(pods))
		}
		if err := d.objects.ready("clicks", 0); err != nil {
			return err
		}
		return d.objects.hasEvents("clicks", d.began, "Scaled", "Paused")
	}); err != nil {
		return err
	}
	d.done("Paused (%s). The task pods are deleted, clicks-connector-0 keeps running.", since(d.began))
	if err := d.pause(ctx); err != nil {
		return err
	}
	d.began = time.Now()
	if err := d.setState(ctx, "clicks", "running"); err != nil {
		return err
	}
	took, err := d.untilReady(ctx, "clicks", 12, "Scaled")
	if err != nil {
		return err
	}
	d.done("All 12 tasks are running again (%s).", took)
	return nil
}

// setState patches spec.state of a connector.
func (d *demo) setState(ctx context.Context, connector, state string) error {
	patch := `{"spec":{"state":"` + state + `"}}`
	return d.kubectl(ctx, "patch", "kafkaconnector", connector, "--type=merge", "-p", patch)
}
