package integration

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/pkg/testkit"
)

func TestAConfigThatThePluginRefusesIsNotRolled(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.running("test", 2)
	before := r.uids()
	r.merge("test", `{"spec":{"connectorConfig":{"fake.invalid":"no such table"}}}`)
	c := r.waitCondition("test", "ConfigValid", metav1.ConditionFalse, "ConfigRejected")
	require.Equal(t, "spec.connectorConfig.fake.invalid: no such table (what runs goes on with the former configuration)", c.Message)
	r.waitEvent("ConfigRejected", c.Message)
	require.Empty(t, r.restarted(before))
	r.merge("test", `{"spec":{"connectorConfig":{"fake.invalid":null}}}`)
	r.waitReady("test", 2)
	require.Empty(t, r.restarted(before))
	testkit.Eventually(t, patience, func(ctx context.Context) error {
		left, err := r.cp.Kubectl(ctx, "get", "pod/test-validate", "secret/test-validate", "-n", r.namespace, "--ignore-not-found", "-o", "name")
		if err == nil && left != "" {
			return fmt.Errorf("still there: %s", left)
		}
		return err
	})
}

func TestAnExactlyOnceSourceIsFencedBetweenTwoSetsOfTasks(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.running("test", 3, `fake.exactly.once: "true"`)
	before := r.uids()
	r.merge("test", `{"spec":{"connectorConfig":{"fake.task.1.table":"orders"}}}`)
	r.waitEvent("Fencing", "exactly once: 3 former tasks are being stopped before the new ones start")
	r.waitFor("test", func(*connectv1.KafkaConnector) error {
		if got := r.restarted(before); len(got) != 4 {
			return fmt.Errorf("restarted: %v", got)
		}
		return nil
	})
	r.waitReady("test", 3)
}

func TestOffsetsAreListedIntoTheStatus(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.running("test", 1)
	_, err := r.cp.Kubectl(t.Context(), "annotate", "kctr/test", "-n", r.namespace, "strimzi.io/connector-offsets=list")
	require.NoError(t, err)
	c := r.waitFor("test", func(c *connectv1.KafkaConnector) error {
		if c.Status.Offsets == nil || len(c.Annotations["strimzi.io/connector-offsets"]) > 0 {
			return errors.New("no offsets yet")
		}
		return nil
	})
	require.Equal(t, []connectv1.PartitionOffset{{Partition: `{"filename":"/a"}`, Offset: `{"position":42}`}}, c.Status.Offsets.Offsets)
	_, err = r.cp.Kubectl(t.Context(), "annotate", "kctr/test", "-n", r.namespace, "strimzi.io/connector-offsets=reset")
	require.NoError(t, err)
	r.waitFor("test", func(c *connectv1.KafkaConnector) error {
		if c.Status.Offsets.State != "Refused" {
			return fmt.Errorf("offsets: %+v", c.Status.Offsets)
		}
		return nil
	})
}
