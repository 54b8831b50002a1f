package integration

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

func TestConfigThatThePluginRejectsRestartsNoPod(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 2)
	before := env.PodUIDs()
	env.Patch("test", `{"spec":{"connectorConfig":{"fake.invalid":"no such table"}}}`)
	c := env.WaitCondition("test", "ConfigValid", metav1.ConditionFalse, "ConfigRejected")
	require.Contains(t, c.Message, "spec.connectorConfig.fake.invalid: no such table")
	env.WaitEvent("ConfigRejected", c.Message)
	require.Empty(t, env.Restarted(before))
	env.Patch("test", `{"spec":{"connectorConfig":{"fake.invalid":null}}}`)
	env.WaitReady("test", 2)
	require.Empty(t, env.Restarted(before))
	env.WaitGone("pod/test-validate", "secret/test-validate")
}

func TestExactlyOnceSourceIsFencedBeforeNewTasksStart(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 3, `fake.exactly.once: "true"`)
	before := env.PodUIDs()
	env.Patch("test", `{"spec":{"connectorConfig":{"fake.task.1.table":"orders"}}}`)
	env.WaitEvent("Fencing", "exactly-once: waiting for 3 previous tasks to stop before new tasks start")
	env.WaitRestarted(before, 4)
	env.WaitReady("test", 3)
}

func TestOffsetsAreListedInStatus(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 1)
	env.Annotate("kctr/test", "strimzi.io/connector-offsets=list")
	c := env.WaitFor("test", func(c *connectv1.KafkaConnector) error {
		if c.Status.Offsets == nil || c.Annotations["strimzi.io/connector-offsets"] != "" {
			return errors.New("status.offsets is empty or the annotation is set")
		}
		return nil
	})
	expected := []connectv1.PartitionOffset{{Partition: `{"filename":"/a"}`, Offset: `{"position":42}`}}
	require.Equal(t, expected, c.Status.Offsets.Offsets)
}

func TestOffsetsOfARunningConnectorAreNotReset(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 1)
	env.Annotate("kctr/test", "strimzi.io/connector-offsets=reset")
	env.WaitFor("test", func(c *connectv1.KafkaConnector) error {
		if c.Status.Offsets == nil || c.Status.Offsets.State != connectv1.OffsetsRefused {
			return fmt.Errorf("offsets: %+v", c.Status.Offsets)
		}
		return nil
	})
}

func TestOffsetsAreResetOnlyWhenNoPodExists(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 2)
	// The pod stays Terminating like a pod on a lost node.
	env.Kubectl("patch", "pod", "test-tasks-1", "--type=merge", "-p", `{"metadata":{"finalizers":["example.com/lost"]}}`)
	node := env.Pod("test-tasks-1").Spec.NodeName
	env.Patch("test", `{"metadata":{"annotations":{"strimzi.io/connector-offsets":"reset"}},"spec":{"state":"stopped"}}`)
	expected := "reset starts when no pod of the connector exists: pod test-tasks-1 on node " + node
	env.WaitFor("test", func(c *connectv1.KafkaConnector) error {
		if o := c.Status.Offsets; o == nil || o.State != connectv1.OffsetsWaitingForPods || o.Message != expected {
			return fmt.Errorf("offsets: %+v", o)
		}
		if c.Status.State != connectv1.PhaseStopping {
			return fmt.Errorf("state: %s", c.Status.State)
		}
		return nil
	})
	require.NotContains(t, env.PodUIDs(), "test-offsets")
	env.Kubectl("patch", "pod", "test-tasks-1", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	env.WaitFor("test", func(c *connectv1.KafkaConnector) error {
		if o := c.Status.Offsets; o.State != connectv1.OffsetsDone || c.Annotations["strimzi.io/connector-offsets"] != "" {
			return fmt.Errorf("offsets: %+v", o)
		}
		if c.Status.State != connectv1.PhaseStopped {
			return fmt.Errorf("state: %s", c.Status.State)
		}
		return nil
	})
	env.WaitGone("pod/test-offsets")
	env.Patch("test", `{"spec":{"state":"running"}}`)
	env.WaitReady("test", 2)
}

func TestValidationThatFailsIsRepeatedAndTheRolloutContinues(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 1)
	before := env.PodUIDs()
	env.Patch("test", `{"spec":{"connectorConfig":{"fake.validation.fails":"no broker answered"}}}`)
	c := env.WaitCondition("test", "ConfigValid", metav1.ConditionFalse, "ValidationFailed")
	require.Contains(t, c.Message, "attempt 1 failed: KafkaUnreachable: no broker answered; next attempt at ")
	require.Empty(t, env.Restarted(before))
	env.WaitCondition("test", "ConfigValid", metav1.ConditionTrue, "Accepted")
	env.WaitRestarted(before, 1)
	env.WaitReady("test", 1)
}

func TestRunningConnectorIsFollowedWhileANewConfigIsRejected(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 3)
	env.Patch("test", `{"spec":{"connectorConfig":{"fake.invalid":"no such table"}}}`)
	env.WaitCondition("test", "ConfigValid", metav1.ConditionFalse, "ConfigRejected")

	before := env.PodUIDs()
	env.Annotate("pod/test-tasks-1", "strimzi.io/manual-rolling-update=true")
	env.WaitRestarted(before, 1)
	env.WaitTasks("test", "3/3")
	before = env.PodUIDs()
	env.Annotate("kctr/test", "strimzi.io/restart-task=2")
	env.WaitRestarted(before, 1)
	env.WaitTasks("test", "3/3")

	env.Patch("test", `{"spec":{"state":"stopped"}}`)
	env.WaitFor("test", func(c *connectv1.KafkaConnector) error {
		if c.Status.State != connectv1.PhaseStopped {
			return fmt.Errorf("state: %s", c.Status.State)
		}
		return testenv.HasCondition(c.Status.Conditions, "ConfigValid", metav1.ConditionFalse, "ConfigRejected")
	})
	env.Patch("test", `{"spec":{"state":"running"}}`)
	env.WaitTasks("test", "3/3")
	env.WaitCondition("test", "ConfigValid", metav1.ConditionFalse, "ConfigRejected")
	env.Patch("test", `{"spec":{"connectorConfig":{"fake.invalid":null}}}`)
	env.WaitReady("test", 3)
}

func TestScaleAppliesWhileANewConfigIsRejected(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 3, "password: hunter2")
	env.Patch("test", `{"spec":{"connectorConfig":{"fake.invalid":"no such table"}}}`)
	env.WaitCondition("test", "ConfigValid", metav1.ConditionFalse, "ConfigRejected")
	for _, tasks := range []string{"5", "1"} {
		env.Kubectl("scale", "kctr/test", "--replicas="+tasks)
		c := env.WaitTasks("test", tasks+"/"+tasks)
		require.NoError(t, testenv.HasCondition(c.Status.Conditions, "ConfigValid", metav1.ConditionFalse, "ConfigRejected"))
		require.NotContains(t, fmt.Sprintf("%+v", c.Status), "hunter2")
	}
	require.Contains(t, string(taskSecret(env)["task-0.json"]), "hunter2", "the accepted configuration runs")
	env.Patch("test", `{"spec":{"connectorConfig":{"fake.invalid":null}}}`)
	env.WaitReady("test", 1)
}
