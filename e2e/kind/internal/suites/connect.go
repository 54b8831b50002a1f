package suites

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/e2e/kind/internal/env"
	"github.com/weir-dev/weir/e2e/kind/internal/suite"
)

const (
	connectSpace = "e2e-connect"
	// counting is the connector of three tasks that most steps look at.
	counting = "test"
)

func (e *environment) connect(ctx context.Context, p *suite.Proof) error {
	if err := e.install(ctx, "connect-scheduler", "connect-scheduler"); err != nil {
		return err
	}
	if err := e.oneBroker(ctx, connectSpace); err != nil {
		return err
	}
	return steps(ctx, p, []step{
		{"a connector of three tasks is four pods, and all tasks move records", patience, e.threeTasks},
		{"a task that runs out of memory is restarted alone, and says why", patience, e.outOfMemory},
		{"a worker node is lost: its pods come back elsewhere, nobody else restarts", 2 * patience, e.nodeLost},
		{"a changed configuration reaches every task, and offsets are kept", patience, e.configChange},
		{"kubectl scale changes the number of tasks; those that stay are left alone", patience, e.scale},
		{"paused: no tasks, the connector stays; stopped: neither; running: all again", 2 * patience, e.pauseAndStop},
		{"a configuration that cannot be right is refused, or named and curable", patience, e.rejected},
		{"no record was lost in all this", patience, e.nothingLost},
		{"a plugin comes from an image of its own, mounted as a volume", patience, e.pluginImage},
		{"offsets of a stopped connector are listed and reset on request", 2 * patience, e.offsets},
	})
}

func (e *environment) threeTasks(ctx context.Context) (string, error) {
	applied := time.Now()
	if err := e.ApplyFile(ctx, connectSpace, "connector.yaml", "NAME", counting, "TASKS", "3"); err != nil {
		return "", err
	}
	tally, err := e.moving(ctx, connectSpace, counting, env.Tally{}, 3)
	if err != nil {
		return "", err
	}
	took := time.Since(applied)
	if _, err := e.Connector(ctx, connectSpace, counting, env.Running(3)); err != nil {
		return "", err
	}
	pods, err := e.Pods(ctx, connectSpace, ofConnector(counting))
	if err != nil || len(pods) != 4 {
		return "", fmt.Errorf("there are %d pods, not 4: %w", len(pods), err)
	}
	return fmt.Sprintf("%d records of %d tasks; records of all of them %.1f s after kubectl apply", tally.Records, tally.Keys, took.Seconds()), nil
}

// outOfMemory lets the newest of three tasks use up its heap, while the others are past the number at which that happens.
func (e *environment) outOfMemory(ctx context.Context) (string, error) {
	const name = "hungry"
	if err := e.ApplyFile(ctx, connectSpace, "connector.yaml", "NAME", name, "TASKS", "2"); err != nil {
		return "", err
	}
	err := env.Until(ctx, "50 records of both tasks", func(ctx context.Context) error {
		tally, err := e.Count(ctx, connectSpace, name)
		if err == nil && (tally.PerKey["0"] < 50 || tally.PerKey["1"] < 50) {
			err = fmt.Errorf("there are %v", tally.PerKey)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	if err := e.merge(ctx, connectSpace, name, `{"spec":{"connectorConfig":{"tasks.max":"3","fail.at":"20","fail.with":"memory"}}}`); err != nil {
		return "", err
	}
	var failed connectv1.TaskStatus
	if _, err := e.Connector(ctx, connectSpace, name, func(c *connectv1.KafkaConnector) error {
		for _, task := range c.Status.Tasks {
			if task.ID == 2 && task.Restarts > 0 && task.LastError != "" {
				failed = task
				return nil
			}
		}
		return fmt.Errorf("task 2 has not failed: %+v", c.Status.Tasks)
	}); err != nil {
		return "", err
	}
	if !strings.Contains(failed.LastError, contract.ReasonOutOfMemory) {
		return "", fmt.Errorf("task 2 failed with %q, not %s", failed.LastError, contract.ReasonOutOfMemory)
	}
	pods, err := e.Pods(ctx, connectSpace, ofConnector(name))
	if err != nil {
		return "", err
	}
	for pod, p := range pods {
		for _, c := range p.Status.ContainerStatuses {
			if c.RestartCount > 0 && pod != name+"-tasks-2" {
				return "", fmt.Errorf("%s was restarted too", pod)
			}
		}
	}
	if err := e.Weir.IoV1().KafkaConnectors(connectSpace).Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return "", err
	}
	return fmt.Sprintf("3 of 4 pods untouched; status: %s", oneLine(failed.LastError, 70)), nil
}

// nodeLost ends a worker without notice. Kubernetes moves pods of a StatefulSet only once somebody has said that the node is gone.
func (e *environment) nodeLost(ctx context.Context) (string, error) {
	victim, err := e.Kube.CoreV1().Pods(connectSpace).Get(ctx, counting+"-tasks-0", metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	node := victim.Spec.NodeName
	before, err := e.Pods(ctx, connectSpace, ofConnector(counting))
	if err != nil {
		return "", err
	}
	idsBefore, err := e.identities(ctx, connectSpace, ofConnector(counting))
	if err != nil {
		return "", err
	}
	if err := e.cluster.Stop(ctx, node); err != nil {
		return "", err
	}
	defer e.bringBack(context.WithoutCancel(ctx), node)
	if err := e.nodeIs(ctx, node, false); err != nil {
		return "", err
	}
	if _, err := e.Kubectl(ctx, "taint", "node", node, "--overwrite", "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"); err != nil {
		return "", err
	}
	moved := 0
	err = env.Until(ctx, "the pods of the lost node elsewhere", func(ctx context.Context) error {
		now, err := e.Pods(ctx, connectSpace, ofConnector(counting))
		if err != nil {
			return err
		}
		moved = 0
		for name, pod := range before {
			if pod.Spec.NodeName != node {
				continue
			}
			if there, ok := now[name]; !ok || there.UID == pod.UID || there.Spec.NodeName == node || there.Spec.NodeName == "" {
				return fmt.Errorf("%s is not back", name)
			}
			moved++
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if _, err := e.Connector(ctx, connectSpace, counting, env.Running(3)); err != nil {
		return "", err
	}
	idsNow, err := e.identities(ctx, connectSpace, ofConnector(counting))
	if err != nil {
		return "", err
	}
	for _, name := range changed(idsBefore, idsNow) {
		if before[name].Spec.NodeName != node {
			return "", fmt.Errorf("%s was on another node, and was disturbed", name)
		}
	}
	tally, err := e.Count(ctx, connectSpace, counting)
	if err != nil {
		return "", err
	}
	if _, err := e.moving(ctx, connectSpace, counting, tally, 3); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s was killed; %d pods moved, %d stayed as they were", node, moved, len(before)-moved), nil
}

// bringBack starts a node, and takes back what was said about it; that it fails shows in what follows.
func (e *environment) bringBack(ctx context.Context, node string) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if e.cluster.Start(ctx, node) == nil {
		_ = e.nodeIs(ctx, node, true)
		_, _ = e.Kubectl(ctx, "taint", "node", node, "node.kubernetes.io/out-of-service-")
	}
}

func (e *environment) nodeIs(ctx context.Context, name string, ready bool) error {
	return env.Until(ctx, "node "+name, func(ctx context.Context) error {
		node, err := e.Kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady && (c.Status == corev1.ConditionTrue) != ready {
				return fmt.Errorf("its condition Ready is %s", c.Status)
			}
		}
		return nil
	})
}

func (e *environment) configChange(ctx context.Context) (string, error) {
	before, err := e.identities(ctx, connectSpace, ofConnector(counting))
	if err != nil {
		return "", err
	}
	if err := e.merge(ctx, connectSpace, counting, `{"spec":{"connectorConfig":{"batch":"20"}}}`); err != nil {
		return "", err
	}
	err = env.Until(ctx, "new pods", func(ctx context.Context) error {
		now, err := e.identities(ctx, connectSpace, ofConnector(counting))
		if err == nil && len(changed(before, now)) < 3 {
			err = fmt.Errorf("restarted so far: %q", changed(before, now))
		}
		return err
	})
	if err != nil {
		return "", err
	}
	if _, err := e.Connector(ctx, connectSpace, counting, env.Running(3)); err != nil {
		return "", err
	}
	tally, err := e.Count(ctx, connectSpace, counting)
	if err != nil {
		return "", err
	}
	after, err := e.moving(ctx, connectSpace, counting, tally, 3)
	return fmt.Sprintf("%d records, %d missing", after.Records, after.Missing), err
}

func (e *environment) scale(ctx context.Context) (string, error) {
	before, err := e.identities(ctx, connectSpace, ofConnector(counting)+",io.confluent.csid.connect.type=task")
	if err != nil {
		return "", err
	}
	if _, err := e.Kubectl(ctx, "scale", "-n", connectSpace, "kafkaconnector/"+counting, "--replicas=4"); err != nil {
		return "", err
	}
	if _, err := e.Connector(ctx, connectSpace, counting, env.Running(4)); err != nil {
		return "", err
	}
	after, err := e.identities(ctx, connectSpace, ofConnector(counting)+",io.confluent.csid.connect.type=task")
	if err != nil {
		return "", err
	}
	if gone := changed(before, after); len(gone) > 0 {
		return "", fmt.Errorf("disturbed: %q", gone)
	}
	if _, err := e.Kubectl(ctx, "scale", "-n", connectSpace, "kafkaconnector/"+counting, "--replicas=3"); err != nil {
		return "", err
	}
	_, err = e.Connector(ctx, connectSpace, counting, env.Running(3))
	return "3, 4 and 3 tasks; tasks 0 to 2 undisturbed", err
}

func (e *environment) pauseAndStop(ctx context.Context) (string, error) {
	for _, want := range []struct {
		state string
		pods  int
	}{{"paused", 1}, {"stopped", 0}, {"running", 4}} {
		if err := e.merge(ctx, connectSpace, counting, fmt.Sprintf(`{"spec":{"state":%q}}`, want.state)); err != nil {
			return "", err
		}
		if err := env.Until(ctx, want.state, func(ctx context.Context) error {
			pods, err := e.Pods(ctx, connectSpace, ofConnector(counting))
			if err == nil && len(pods) != want.pods {
				err = fmt.Errorf("there are %d pods, not %d", len(pods), want.pods)
			}
			return err
		}); err != nil {
			return "", err
		}
	}
	_, err := e.Connector(ctx, connectSpace, counting, env.Running(3))
	return "1, 0 and 4 pods", err
}

func (e *environment) rejected(ctx context.Context) (string, error) {
	err := e.merge(ctx, connectSpace, counting, `{"spec":{"connectorConfig":{"tasks.max":"many"}}}`)
	if err == nil {
		return "", errors.New("the API takes tasks.max=many")
	}
	refused := err.Error()
	// Only the plugin knows that this is wrong.
	if err := e.merge(ctx, connectSpace, counting, `{"spec":{"connectorConfig":{"batch":"0"}}}`); err != nil {
		return "", err
	}
	said := ""
	if _, err := e.Connector(ctx, connectSpace, counting, func(c *connectv1.KafkaConnector) error {
		for _, condition := range c.Status.Conditions {
			if condition.Reason == "ConfigRejected" && strings.Contains(condition.Message, "batch") {
				said = condition.Type + "/" + condition.Reason
				return nil
			}
		}
		ready := meta.FindStatusCondition(c.Status.Conditions, "Ready")
		return fmt.Errorf("no condition says that the setting is refused: %+v", ready)
	}); err != nil {
		return "", err
	}
	if err := e.merge(ctx, connectSpace, counting, `{"spec":{"connectorConfig":{"batch":"20"}}}`); err != nil {
		return "", err
	}
	if _, err := e.Connector(ctx, connectSpace, counting, env.Running(3)); err != nil {
		return "", err
	}
	_, sentence, _ := strings.Cut(refused, "connectorConfig tasks.max")
	return fmt.Sprintf("API: tasks.max %s; plugin: %s; cured by taking it back", oneLine(sentence, 40), said), nil
}

// nothingLost stops the connector, so that all it has counted is written, and looks for numbers left out.
func (e *environment) nothingLost(ctx context.Context) (string, error) {
	if err := e.merge(ctx, connectSpace, counting, `{"spec":{"state":"stopped"}}`); err != nil {
		return "", err
	}
	if err := e.gone(ctx, connectSpace, ofConnector(counting)); err != nil {
		return "", err
	}
	tally, err := e.Count(ctx, connectSpace, counting)
	if err == nil && tally.Missing != 0 {
		err = fmt.Errorf("%d records are missing", tally.Missing)
	}
	return fmt.Sprintf("%d delivered, %d lost, %d duplicated", tally.Distinct, tally.Missing, tally.Duplicated()), err
}

func (e *environment) pluginImage(ctx context.Context) (string, error) {
	if err := e.ApplyFile(ctx, connectSpace, "plugin-image.yaml"); err != nil {
		return "", err
	}
	if _, err := e.Connector(ctx, connectSpace, "mounted", env.Running(1)); err != nil {
		return "", err
	}
	moved, err := e.moving(ctx, connectSpace, "mounted", env.Tally{}, 1)
	if err != nil {
		return "", err
	}
	_, err = e.Kubectl(ctx, "delete", "-n", connectSpace, "kafkaconnector/mounted")
	return fmt.Sprintf("%d records by the released image and a plugin that is not in it", moved.Records), err
}

// offsets asks, by annotation, for what only the runner's own image can do.
func (e *environment) offsets(ctx context.Context) (string, error) {
	listed, err := e.askForOffsets(ctx, contract.OffsetsList)
	if err != nil {
		return "", err
	}
	if len(listed.Offsets) < 3 {
		return "", fmt.Errorf("of three tasks %d offsets are listed: %+v", len(listed.Offsets), listed)
	}
	if _, err := e.askForOffsets(ctx, contract.OffsetsReset); err != nil {
		return "", err
	}
	left, err := e.askForOffsets(ctx, contract.OffsetsList)
	if err == nil && len(left.Offsets) > 0 {
		err = fmt.Errorf("after the reset there are %+v", left.Offsets)
	}
	return fmt.Sprintf("%d listed, %s at %s; none after the reset", len(listed.Offsets), listed.Offsets[0].Partition, listed.Offsets[0].Offset), err
}

func (e *environment) askForOffsets(ctx context.Context, operation string) (*connectv1.OffsetsStatus, error) {
	was, err := e.Weir.IoV1().KafkaConnectors(connectSpace).Get(ctx, counting, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if err := e.merge(ctx, connectSpace, counting, fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, contract.ConnectorOffsets, operation)); err != nil {
		return nil, err
	}
	c, err := e.Connector(ctx, connectSpace, counting, func(c *connectv1.KafkaConnector) error {
		switch told := c.Status.Offsets; {
		case told == nil || was.Status.Offsets != nil && told.ID == was.Status.Offsets.ID:
			return fmt.Errorf("nothing is told of the request to %s offsets", operation)
		case told.State != "Done":
			return fmt.Errorf("%s of offsets: %s: %s", operation, told.State, told.Message)
		}
		if _, asked := c.Annotations[contract.ConnectorOffsets]; asked {
			return errors.New("the request is still there")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c.Status.Offsets, nil
}
