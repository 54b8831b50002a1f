package suites

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/e2e/kind/internal/env"
	"github.com/weir-dev/weir/e2e/kind/internal/suite"
)

const (
	connectNamespace = "e2e-connect"
	// counting is the connector with three tasks that most steps use.
	counting = "test"
)

func (e *environment) connect(ctx context.Context, r *suite.Results) error {
	if err := e.install(ctx, "connect-scheduler"); err != nil {
		return err
	}
	if err := e.oneBroker(ctx, connectNamespace); err != nil {
		return err
	}
	return steps(ctx, r, []step{
		{"a connector with three tasks runs in four pods, and all tasks move records", stepLimit, e.threeTasks},
		{"only the task that runs out of memory restarts; its status has the cause", stepLimit, e.outOfMemory},
		{"after a node failure its pods are rescheduled and no other pod restarts", 2 * stepLimit, e.nodeLost},
		{"a changed config reaches every task and keeps offsets", stepLimit, e.configChange},
		{"kubectl scale changes the number of tasks; other tasks keep running", stepLimit, e.scale},
		{"paused keeps only the connector pod, stopped no pod, running all pods", 2 * stepLimit, e.pauseAndStop},
		{"an invalid config is rejected by the API or reported in a condition", stepLimit, e.rejected},
		{"no record is lost in all previous steps", stepLimit, e.nothingLost},
		{"a plugin is mounted from its own image", stepLimit, e.pluginImage},
		{"offsets of a stopped connector are listed and reset on request", 2 * stepLimit, e.offsets},
	})
}

func (e *environment) threeTasks(ctx context.Context) (string, error) {
	applied := time.Now()
	if err := e.ApplyFile(ctx, connectNamespace, "connector.yaml", "NAME", counting, "TASKS", "3"); err != nil {
		return "", err
	}
	tally, err := e.moving(ctx, connectNamespace, counting, env.Tally{}, 3)
	if err != nil {
		return "", err
	}
	took := time.Since(applied)
	if _, err := e.Connector(ctx, connectNamespace, counting, env.Running(3)); err != nil {
		return "", err
	}
	pods, err := e.Pods(ctx, connectNamespace, ofConnector(counting))
	if err != nil || len(pods) != 4 {
		return "", fmt.Errorf("got %d pods, want 4: %w", len(pods), err)
	}
	return fmt.Sprintf(
		"%d records of %d tasks; first records of all tasks %.1f s after kubectl apply",
		tally.Records,
		tally.Keys,
		took.Seconds(),
	), nil
}

// outOfMemory makes a new third task exhaust its heap at record 20. The other two tasks are already past record 20.
func (e *environment) outOfMemory(ctx context.Context) (string, error) {
	const name = "hungry"
	if err := e.ApplyFile(ctx, connectNamespace, "connector.yaml", "NAME", name, "TASKS", "2"); err != nil {
		return "", err
	}
	err := env.Until(ctx, "50 records of both tasks", func(ctx context.Context) error {
		tally, err := e.Count(ctx, connectNamespace, name)
		if err == nil && (tally.PerKey["0"] < 50 || tally.PerKey["1"] < 50) {
			err = fmt.Errorf("records per task: %v", tally.PerKey)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	patch := `{"spec":{"connectorConfig":{"tasks.max":"3","fail.at":"20","fail.with":"memory"}}}`
	if err := e.merge(ctx, connectNamespace, name, patch); err != nil {
		return "", err
	}
	var failed connectv1.TaskStatus
	if _, err := e.Connector(ctx, connectNamespace, name, func(c *connectv1.KafkaConnector) error {
		for _, task := range c.Status.Tasks {
			if task.ID == 2 && task.Restarts > 0 && task.LastError != "" {
				failed = task
				return nil
			}
		}
		return fmt.Errorf("task 2 has not failed yet: %+v", c.Status.Tasks)
	}); err != nil {
		return "", err
	}
	if !strings.Contains(failed.LastError, contract.ReasonOutOfMemory) {
		return "", fmt.Errorf("task 2 failed with %q, want %s", failed.LastError, contract.ReasonOutOfMemory)
	}
	pods, err := e.Pods(ctx, connectNamespace, ofConnector(name))
	if err != nil {
		return "", err
	}
	for pod, p := range pods {
		for _, c := range p.Status.ContainerStatuses {
			if c.RestartCount > 0 && pod != name+"-tasks-2" {
				return "", fmt.Errorf("%s was restarted as well", pod)
			}
		}
	}
	if err := e.Weir.IoV1().KafkaConnectors(connectNamespace).Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return "", err
	}
	return fmt.Sprintf("3 of 4 pods kept running; status: %s", oneLine(failed.LastError, 70)), nil
}

func (e *environment) configChange(ctx context.Context) (string, error) {
	before, err := e.identities(ctx, connectNamespace, ofConnector(counting))
	if err != nil {
		return "", err
	}
	if err := e.merge(ctx, connectNamespace, counting, `{"spec":{"connectorConfig":{"batch":"20"}}}`); err != nil {
		return "", err
	}
	err = env.Until(ctx, "new pods", func(ctx context.Context) error {
		now, err := e.identities(ctx, connectNamespace, ofConnector(counting))
		if err == nil && len(changed(before, now)) < 3 {
			err = fmt.Errorf("restarted pods: %q", changed(before, now))
		}
		return err
	})
	if err != nil {
		return "", err
	}
	if _, err := e.Connector(ctx, connectNamespace, counting, env.Running(3)); err != nil {
		return "", err
	}
	tally, err := e.Count(ctx, connectNamespace, counting)
	if err != nil {
		return "", err
	}
	after, err := e.moving(ctx, connectNamespace, counting, tally, 3)
	return fmt.Sprintf("%d records, %d missing", after.Records, after.Missing), err
}

// setTasks runs kubectl scale.
func (e *environment) setTasks(ctx context.Context, n int) error {
	_, err := e.Kubectl(ctx, "scale", "-n", connectNamespace, "kafkaconnector/"+counting, fmt.Sprintf("--replicas=%d", n))
	return err
}

func (e *environment) scale(ctx context.Context) (string, error) {
	before, err := e.identities(ctx, connectNamespace, ofConnector(counting)+",io.confluent.csid.connect.type=task")
	if err != nil {
		return "", err
	}
	if err := e.setTasks(ctx, 4); err != nil {
		return "", err
	}
	if _, err := e.Connector(ctx, connectNamespace, counting, env.Running(4)); err != nil {
		return "", err
	}
	after, err := e.identities(ctx, connectNamespace, ofConnector(counting)+",io.confluent.csid.connect.type=task")
	if err != nil {
		return "", err
	}
	if restarted := changed(before, after); len(restarted) > 0 {
		return "", fmt.Errorf("restarted pods: %q", restarted)
	}
	if err := e.setTasks(ctx, 3); err != nil {
		return "", err
	}
	_, err = e.Connector(ctx, connectNamespace, counting, env.Running(3))
	return "3, 4 and 3 tasks; tasks 0 to 2 kept running", err
}

func (e *environment) pauseAndStop(ctx context.Context) (string, error) {
	for _, want := range []struct {
		state string
		pods  int
	}{{"paused", 1}, {"stopped", 0}, {"running", 4}} {
		patch := fmt.Sprintf(`{"spec":{"state":%q}}`, want.state)
		if err := e.merge(ctx, connectNamespace, counting, patch); err != nil {
			return "", err
		}
		if err := env.Until(ctx, want.state, func(ctx context.Context) error {
			pods, err := e.Pods(ctx, connectNamespace, ofConnector(counting))
			if err == nil && len(pods) != want.pods {
				err = fmt.Errorf("got %d pods, want %d", len(pods), want.pods)
			}
			return err
		}); err != nil {
			return "", err
		}
	}
	_, err := e.Connector(ctx, connectNamespace, counting, env.Running(3))
	return "1, 0 and 4 pods", err
}

func (e *environment) rejected(ctx context.Context) (string, error) {
	err := e.merge(ctx, connectNamespace, counting, `{"spec":{"connectorConfig":{"tasks.max":"many"}}}`)
	if err == nil {
		return "", errors.New("the API server accepts tasks.max=many")
	}
	rejection := err.Error()
	// Only the plugin can detect this error.
	if err := e.merge(ctx, connectNamespace, counting, `{"spec":{"connectorConfig":{"batch":"0"}}}`); err != nil {
		return "", err
	}
	reported := ""
	if _, err := e.Connector(ctx, connectNamespace, counting, func(c *connectv1.KafkaConnector) error {
		for _, condition := range c.Status.Conditions {
			if condition.Reason == "ConfigRejected" && strings.Contains(condition.Message, "batch") {
				reported = condition.Type + "/" + condition.Reason
				return nil
			}
		}
		ready := meta.FindStatusCondition(c.Status.Conditions, "Ready")
		return fmt.Errorf("no condition reports the rejected setting: %+v", ready)
	}); err != nil {
		return "", err
	}
	if err := e.merge(ctx, connectNamespace, counting, `{"spec":{"connectorConfig":{"batch":"20"}}}`); err != nil {
		return "", err
	}
	if _, err := e.Connector(ctx, connectNamespace, counting, env.Running(3)); err != nil {
		return "", err
	}
	_, sentence, _ := strings.Cut(rejection, "connectorConfig tasks.max")
	return fmt.Sprintf(
		"API: tasks.max %s; plugin: %s; Ready after the change is reverted",
		oneLine(sentence, 40),
		reported,
	), nil
}

// nothingLost stops the connector, so that all its records are written, and checks the numbers for gaps.
func (e *environment) nothingLost(ctx context.Context) (string, error) {
	if err := e.merge(ctx, connectNamespace, counting, `{"spec":{"state":"stopped"}}`); err != nil {
		return "", err
	}
	if err := e.deleted(ctx, connectNamespace, ofConnector(counting)); err != nil {
		return "", err
	}
	tally, err := e.Count(ctx, connectNamespace, counting)
	if err == nil && tally.Missing != 0 {
		err = fmt.Errorf("%d records are missing", tally.Missing)
	}
	return fmt.Sprintf("%d delivered, %d lost, %d duplicated", tally.Distinct, tally.Missing, tally.Duplicated()), err
}

func (e *environment) pluginImage(ctx context.Context) (string, error) {
	if err := e.ApplyFile(ctx, connectNamespace, "plugin-image.yaml"); err != nil {
		return "", err
	}
	if _, err := e.Connector(ctx, connectNamespace, "mounted", env.Running(1)); err != nil {
		return "", err
	}
	moved, err := e.moving(ctx, connectNamespace, "mounted", env.Tally{}, 1)
	if err != nil {
		return "", err
	}
	_, err = e.Kubectl(ctx, "delete", "-n", connectNamespace, "kafkaconnector/mounted")
	return fmt.Sprintf("%d records with the release image and a plugin from another image", moved.Records), err
}

// offsets requests operations on offsets by annotation.
func (e *environment) offsets(ctx context.Context) (string, error) {
	listed, err := e.requestOffsets(ctx, contract.OffsetsList)
	if err != nil {
		return "", err
	}
	if len(listed.Offsets) < 3 {
		return "", fmt.Errorf("got offsets of %d tasks, want 3: %+v", len(listed.Offsets), listed)
	}
	if _, err := e.requestOffsets(ctx, contract.OffsetsReset); err != nil {
		return "", err
	}
	left, err := e.requestOffsets(ctx, contract.OffsetsList)
	if err == nil && len(left.Offsets) > 0 {
		err = fmt.Errorf("the offsets after the reset are %+v, want none", left.Offsets)
	}
	first := listed.Offsets[0]
	return fmt.Sprintf(
		"%d listed, %s at %s; none after the reset",
		len(listed.Offsets),
		first.Partition,
		first.Offset,
	), err
}

// requestOffsets requests an operation on offsets and waits for its result.
func (e *environment) requestOffsets(ctx context.Context, operation string) (*connectv1.OffsetsStatus, error) {
	before, err := e.Weir.IoV1().KafkaConnectors(connectNamespace).Get(ctx, counting, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, contract.ConnectorOffsets, operation)
	if err := e.merge(ctx, connectNamespace, counting, patch); err != nil {
		return nil, err
	}
	c, err := e.Connector(ctx, connectNamespace, counting, func(c *connectv1.KafkaConnector) error {
		switch offsets := c.Status.Offsets; {
		case offsets == nil || before.Status.Offsets != nil && offsets.ID == before.Status.Offsets.ID:
			return fmt.Errorf("the status has no result of the request to %s offsets", operation)
		case offsets.State != connectv1.OffsetsDone:
			return fmt.Errorf("%s of offsets: %s: %s", operation, offsets.State, offsets.Message)
		}
		if _, found := c.Annotations[contract.ConnectorOffsets]; found {
			return errors.New("the annotation is not removed yet")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c.Status.Offsets, nil
}
