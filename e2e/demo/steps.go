package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit/binaries"
)

const (
	service = "connect-scheduler"
	// patience is how long a step may take that takes a second or two on a machine with nothing else to do.
	patience = time.Minute
	// longer is for what may have to be downloaded and compiled first.
	longer = 30 * time.Minute
)

// play shows all of it.
func (d *demo) play(ctx context.Context) error {
	d.screen.line("%s", d.screen.paint(bold, "Weir: connect-scheduler at work"))
	d.say("Every Kafka Connect connector and every task in a pod of its own, on a real Kubernetes %s control plane.", binaries.KubernetesVersion)
	d.say("The nodes are simulated: no container runs, and a fake runner publishes the task configs that connectors would.")
	for _, step := range []struct {
		sentence string
		limit    time.Duration
		act      func(context.Context) error
	}{
		{"Build connect-scheduler and the fake runner.", longer, d.build},
		{"Start etcd, kube-apiserver, kube-controller-manager, kube-scheduler and three simulated nodes.", longer, d.startControlPlane},
		{"Install connect-scheduler and run it with exactly the rights that it ships with.", 3 * patience, d.install},
		{"Apply the KafkaConnector of seed 001 as its author wrote it: one connector, three tasks.", patience, d.applySeed},
		{"Add a connector with 12 tasks.", patience, d.applyClicks},
		{"Change the configuration of one of the 12 tasks: that task restarts, and no other.", patience, d.changeOneTask},
		{"Let a task fail, and see it in the status.", patience, d.failTask},
		{"The task's container starts again, and the status follows.", patience, d.recoverTask},
		{"Scale the first connector to five tasks; the three that run stay as they are.", patience, d.scale},
		{"Pause the second connector: no tasks, the connector's pod stays. Then let it run again.", 2 * patience, d.pause},
	} {
		if err := d.do(ctx, step.sentence, step.limit, step.act); err != nil {
			return err
		}
	}
	if err := d.sumUp(ctx); err != nil {
		return err
	}
	return d.farewell(ctx)
}

func (d *demo) applySeed(ctx context.Context) error {
	if err := d.kubectl(ctx, "apply", "-f", "deploy/examples/connect-scheduler/worker-config.yaml", "-f", "deploy/examples/connect-scheduler/csid-sample.yaml"); err != nil {
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
			return fmt.Errorf("pod %s has not the KafkaConnector's labels: %v", pod.Name, pod.Labels)
		}
	}
	if want := []string{"test-connector-0", "test-tasks-0", "test-tasks-1", "test-tasks-2"}; !slices.Equal(names, want) {
		return fmt.Errorf("the pods are %q, not %q", names, want)
	}
	memory := pods[0].Spec.Containers[0].Resources.Requests[corev1.ResourceMemory]
	if memory.String() != "512M" {
		return fmt.Errorf("pod %s requests %s of memory, not 512M", names[0], memory.String())
	}
	d.done("%s are Ready, %s after the manifest.", strings.Join(names, ", "), took)
	d.done("Its memory request (512M) and its labels (project, cost-center) are on the pods.")
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
		return fmt.Errorf("12 tasks run with %d different configs", len(hashes))
	}
	d.done("All 12 tasks are Ready, %s after the manifest, each with a config of its own: tasks 10 and 11 too.", took)
	return nil
}

// changeOneTask changes one key of one task's config.
func (d *demo) changeOneTask(ctx context.Context) error {
	before := d.objects.uids("clicks")
	if err := d.kubectl(ctx, "patch", "kafkaconnector", "clicks", "--type=merge", "-p", `{"spec":{"connectorConfig":{"fake.task.7.flush.size":"500"}}}`); err != nil {
		return err
	}
	want := []string{"clicks-connector-0", "clicks-tasks-7"}
	took, err := d.untilReady(ctx, "clicks", 12, "Restarting", "Restarting", "Published")
	if err != nil {
		return err
	}
	if restarted := d.objects.restarted("clicks", before); !slices.Equal(restarted, want) {
		return fmt.Errorf("restarted are %q, not %q", restarted, want)
	}
	rows := [][]string{{"POD", "AGE", "UID", ""}}
	for _, pod := range d.objects.podsOf("clicks") {
		row := []string{pod.Name, age(pod), string(pod.UID)[:8], d.screen.paint(dim, "as before")}
		switch {
		case before[pod.Name] == string(pod.UID):
		case pod.Labels[contract.LabelType] == contract.TypeConnector:
			row[3] = d.screen.paint(yellow, "restarted, to compute the task configs anew")
		default:
			row[3] = d.screen.paint(yellow, "restarted, because its config has changed")
		}
		rows = append(rows, row)
	}
	d.screen.keep()
	d.screen.line("")
	for _, line := range columns(rows) {
		d.screen.line("%s", indent+line)
	}
	d.done("Restarted: %s. The other 11 tasks never stopped. It took %s.", strings.Join(want, " and "), took)
	return nil
}

// untilReady waits until a connector is ready with so many tasks and the events of the step that say how it came to be are there,
// and returns how long that took, but for the events.
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
		return d.objects.told(name, d.began, events...)
	})
	return took, err
}

func (d *demo) failTask(ctx context.Context) error {
	why := contract.Termination{Reason: contract.ReasonTaskFailed, Message: "org.apache.kafka.connect.errors.ConnectException: the bucket clicks is gone"}
	d.say("The simulated pod clicks-tasks-3 gets what a kubelet writes after its container has ended with an error.")
	failed := time.Now()
	if err := env.Fail(ctx, d.cp.Client(), namespace, "clicks-tasks-3", why); err != nil {
		return err
	}
	var told time.Duration
	if err := d.until(ctx, func() error {
		c := d.objects.connectors["clicks"]
		task := c.Status.Tasks[3]
		if task.State != "Failed" || conditionOf(c, "Degraded").Status != metav1.ConditionTrue {
			return fmt.Errorf("task 3 is %s, the connector %s", task.State, c.Status.State)
		}
		if told == 0 {
			told = time.Since(failed)
		}
		return d.objects.told("clicks", failed, "TaskFailed")
	}); err != nil {
		return err
	}
	c := d.objects.connectors["clicks"]
	degraded := conditionOf(c, "Degraded")
	if want := why.Reason + ": " + why.Message; c.Status.Tasks[3].LastError != want || c.Status.TaskSummary != "11/12" || c.Status.State != "Degraded" {
		return fmt.Errorf("the status says %s %s %q, not Degraded 11/12 %q", c.Status.State, c.Status.TaskSummary, c.Status.Tasks[3].LastError, want)
	}
	d.screen.keep()
	d.screen.line("")
	d.screen.line(indent+"Degraded=%s, %s: %s", degraded.Status, degraded.Reason, d.screen.paint(red, degraded.Message))
	d.done("%d ms from the failure to the status. The other 11 tasks run on.", told.Milliseconds())
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
		return fmt.Errorf("the status counts %d restarts, not 1", restarts)
	}
	d.done("Running 12/12 again, with one restart counted.")
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
		return fmt.Errorf("restarted are %q, not only the connector", restarted)
	}
	d.done("Five tasks, after %s; test-tasks-0, -1 and -2 never stopped. An autoscaler can do the same.", took)
	return nil
}

func (d *demo) pause(ctx context.Context) error {
	before := d.objects.uids("clicks")
	if err := d.kubectl(ctx, "patch", "kafkaconnector", "clicks", "--type=merge", "-p", `{"spec":{"state":"paused"}}`); err != nil {
		return err
	}
	if err := d.until(ctx, func() error {
		if c := d.objects.connectors["clicks"]; c.Status.State != "Paused" {
			return fmt.Errorf("the connector is %s, not Paused", c.Status.State)
		}
		if pods := d.objects.podsOf("clicks"); len(pods) != 1 || before[pods[0].Name] != string(pods[0].UID) {
			return fmt.Errorf("there are %d pods, not just the connector's as it was", len(pods))
		}
		if err := d.objects.ready("clicks", 0); err != nil {
			return err
		}
		return d.objects.told("clicks", d.began, "Scaled", "Paused")
	}); err != nil {
		return err
	}
	d.done("Paused, after %s: clicks-connector-0 runs on, the tasks are gone.", since(d.began))
	if err := d.rest(ctx); err != nil {
		return err
	}
	d.began = time.Now()
	if err := d.kubectl(ctx, "patch", "kafkaconnector", "clicks", "--type=merge", "-p", `{"spec":{"state":"running"}}`); err != nil {
		return err
	}
	took, err := d.untilReady(ctx, "clicks", 12, "Scaled")
	if err != nil {
		return err
	}
	d.done("All 12 tasks are back, after %s.", took)
	return nil
}

// sumUp counts what it took.
func (d *demo) sumUp(ctx context.Context) error {
	metrics, err := d.scheduler.Metrics(ctx)
	if err != nil {
		return err
	}
	writes, _ := metrics.Writes()
	total := 0.0
	for _, n := range writes {
		total += n
	}
	d.screen.line("")
	d.screen.line("In all that, connect-scheduler made %.0f writes to the API in %.0f reconciles, and used %.1f s of CPU and %.0f MiB of memory.",
		total, metrics.Sum("weir_reconciles_total"), metrics.Sum("process_cpu_seconds_total"), metrics.Sum("process_resident_memory_bytes")/(1<<20))
	return nil
}

func since(t time.Time) string { return fmt.Sprintf("%.1f s", time.Since(t).Seconds()) }
