package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

// publishTable changes the config of task 0 as a connector does that detects another table. It returns its hash.
func publishTable(env *testenv.Env, table string) string {
	env.Helper()
	configs := taskSecret(env)
	var config contract.TaskConfig
	require.NoError(env, json.Unmarshal(configs[contract.TaskConfigKey(0)], &config))
	config.Task["table"] = &table
	changed, err := json.Marshal(config)
	require.NoError(env, err)
	configs[contract.TaskConfigKey(0)] = changed
	hashes := make([]string, len(configs))
	for id := range hashes {
		hashes[id] = contract.TaskConfigHash(configs[contract.TaskConfigKey(id)])
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"annotations": map[string]string{
			contract.AnnotationTaskConfigsHash: contract.TaskConfigsHash(hashes),
		}},
		"data": map[string][]byte{contract.TaskConfigKey(0): changed},
	})
	require.NoError(env, err)
	_, err = env.Client().CoreV1().Secrets(env.Namespace).Patch(
		env.Context(), "test-tasks", types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(env, err)
	return hashes[0]
}

// publishUntilDelayed publishes changes until one of them is delayed, and returns the hash of the newest config of task
// 0.
func publishUntilDelayed(env *testenv.Env, prefix string) (newest string) {
	env.Helper()
	changes := 0
	env.Eventually(func(context.Context) error {
		changes++
		newest = publishTable(env, fmt.Sprintf("%s-%d", prefix, changes))
		return testenv.HasCondition(env.Connector("test").Status.Conditions, connectv1.ConditionReconfiguringTooOften,
			metav1.ConditionTrue, connectv1.ReasonTaskConfigsDelayed)
	})
	return newest
}

// waitRolledOut waits until task 0 runs with a config and no change is delayed.
func waitRolledOut(env *testenv.Env, hash func() string) {
	env.Helper()
	env.WaitFor("test", func(c *connectv1.KafkaConnector) error {
		delayed := meta.FindStatusCondition(c.Status.Conditions, connectv1.ConditionReconfiguringTooOften)
		if task := c.Status.Tasks[0]; delayed != nil || task.ConfigHash != hash() || task.State != connectv1.PodRunning {
			return fmt.Errorf("task 0 does not run with config %s: %+v, %+v", hash(), task, delayed)
		}
		return nil
	})
}

func TestTaskConfigsThatChangeTooOftenRollOutLaterUnlessTheSpecChanges(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 2)
	before := env.PodUIDs()
	newest := publishUntilDelayed(env, "first")
	waitRolledOut(env, func() string { return newest })
	require.Equal(t, []string{"test-tasks-0"}, env.Restarted(before))

	publishUntilDelayed(env, "second")
	env.Patch("test", `{"spec":{"connectorConfig":{"fake.task.0.table":"orders"}}}`)
	waitRolledOut(env, func() string {
		config := taskSecret(env)[contract.TaskConfigKey(0)]
		if !bytes.Contains(config, []byte(`"table":"orders"`)) {
			return "that is not published yet"
		}
		return contract.TaskConfigHash(config)
	})
	env.WaitReady("test", 2)
	set, err := env.Client().AppsV1().StatefulSets(env.Namespace).Get(t.Context(), "test-tasks", metav1.GetOptions{})
	require.NoError(t, err)
	require.Contains(t, set.Annotations["weir.dev/task-configs-history"], `"changes":0`,
		"the change of the spec rolled out without a delay")
}
