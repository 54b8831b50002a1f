package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/pkg/testkit"
	connectscheduler "github.com/weir-dev/weir/services/connect-scheduler/internal/app"
	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

// countUnavailable watches the pods of a namespace until ctx ends. It returns the largest number of pods that were
// absent or not ready at the same time, of those that were ready at the start, and the number of replaced pods.
func countUnavailable(ctx context.Context, pods watch.Interface, uids map[string]string) (most, replaced int) {
	unavailable, seen := map[string]bool{}, map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return most, len(seen)
		case event := <-pods.ResultChan():
			pod, ok := event.Object.(*corev1.Pod)
			if !ok || uids[pod.Name] == "" {
				continue
			}
			if string(pod.UID) != uids[pod.Name] {
				seen[pod.Name] = true
			}
			ready := event.Type != watch.Deleted && pod.DeletionTimestamp == nil
			for _, c := range pod.Status.Conditions {
				ready = ready && (c.Type != corev1.PodReady || c.Status == corev1.ConditionTrue)
			}
			ready = ready && len(pod.Status.Conditions) > 0
			delete(unavailable, pod.Name)
			if !ready {
				unavailable[pod.Name] = true
			}
			most = max(most, len(unavailable))
		}
	}
}

// withLimit returns a namespace on a control plane of its own, and a function that runs connect-scheduler there with a
// limit of pods that restart at the same time.
func withLimit(t *testing.T, limit int) (env *testenv.Env, run func() (stop func())) {
	t.Helper()
	cp := testkit.New(t)
	account, err := testenv.Install(t.Context(), cp)
	require.NoError(t, err)
	testenv.Start(t, func(ctx context.Context) error { return testenv.RunFakeRunner(ctx, cp.RESTConfig()) })
	return testenv.At(t, cp, cp.Namespace(t)), func() func() {
		return testenv.Start(t, func(ctx context.Context) error {
			return testenv.Run(ctx, account, testenv.Options{
				Config: func(flags *connectscheduler.Config) { flags.MaxRestartingPods = limit },
			})
		})
	}
}

// otherImage changes the template of the tasks.
const otherImage = `{"spec":{"maxUnavailable":"100%","task":{"image":"runner:2"}}}`

// failRollout changes the template of a connector's tasks so that no node fits, and waits until as many of its pods as
// the limit allows have restarted and fail.
func failRollout(env *testenv.Env, name string, limit int) {
	env.Helper()
	env.Patch(name, `{"spec":{"maxUnavailable":"100%","template":{"task":{"pod":{"nodeSelector":{"no":"node"}}}}}}`)
	env.WaitFor(name, func(c *connectv1.KafkaConnector) error {
		failing := 0
		for _, task := range c.Status.Tasks {
			if strings.HasPrefix(task.LastError, "Unschedulable: ") {
				failing++
			}
		}
		if failing != limit || len(c.Status.Restarting) != limit {
			return fmt.Errorf("%d tasks fail, %d pods restart", failing, len(c.Status.Restarting))
		}
		return testenv.HasCondition(
			c.Status.Conditions, "Ready", metav1.ConditionFalse, connectv1.ReasonRestartLimitReached)
	})
}

func TestPodsThatFailAfterTheirRestartStopRolloutsOfTheirOwnNamespaceOnly(t *testing.T) {
	t.Parallel()
	const limit = 2
	env, run := withLimit(t, limit)
	run()
	other := testenv.At(t, env.ControlPlane, env.ControlPlane.Namespace(t))
	env.StartConnector("failing", 3)
	env.StartConnector("neighbor", 2)
	other.StartConnector("test", 4)
	before, neighbors := other.PodUIDs(), env.PodUIDs()
	failRollout(env, "failing", limit)

	env.Patch("neighbor", otherImage)
	env.WaitCondition("neighbor", "Ready", metav1.ConditionFalse, connectv1.ReasonRestartLimitReached)
	other.Patch("test", otherImage)
	other.WaitRestarted(before, 4)
	other.WaitReady("test", 4)
	require.Equal(t, []string{"test-tasks-0", "test-tasks-1", "test-tasks-2", "test-tasks-3"}, other.Restarted(before))
	require.Len(t, env.Restarted(neighbors), limit, "the pods of failing only")

	env.Patch("failing", `{"spec":{"template":null}}`)
	env.WaitReady("failing", 3)
	env.WaitReady("neighbor", 2)
	require.Subset(t, env.Restarted(neighbors), []string{"neighbor-tasks-0", "neighbor-tasks-1"})
}

func TestRestartsOfThePreviousProcessCountAgainstTheLimit(t *testing.T) {
	t.Parallel()
	const limit, connectors = 2, 4
	env, run := withLimit(t, limit)
	stop := run()
	env.StartConnector("failing", 3)
	for i := range connectors {
		env.StartConnector(fmt.Sprintf("a%d", i), 1)
	}
	failRollout(env, "failing", limit)
	before := env.PodUIDs()
	stop()
	for i := range connectors {
		env.Patch(fmt.Sprintf("a%d", i), otherImage)
	}
	run()
	for i := range connectors {
		env.WaitCondition(fmt.Sprintf("a%d", i), "Ready", metav1.ConditionFalse, connectv1.ReasonRestartLimitReached)
	}
	require.Empty(t, env.Restarted(before))
	require.Len(t, env.Connector("failing").Status.Restarting, limit)

	env.Patch("failing", `{"spec":{"template":null}}`)
	for i := range connectors {
		env.WaitReady(fmt.Sprintf("a%d", i), 1)
	}
	require.Subset(t, env.Restarted(before), []string{"a0-tasks-0", "a1-tasks-0", "a2-tasks-0", "a3-tasks-0"})
}

func TestChangedWorkerSecretRestartsNoMorePodsThanTheLimit(t *testing.T) {
	t.Parallel()
	const connectors, limit = 4, 2
	env, run := withLimit(t, limit)
	stop := run()
	for i := range connectors {
		env.StartConnector(fmt.Sprintf("test-%d", i), 3)
	}
	before := env.PodUIDs()
	require.Len(t, before, connectors*4)
	pods, err := env.Client().CoreV1().Pods(env.Namespace).Watch(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	defer pods.Stop()
	watching, end := context.WithCancel(t.Context())
	counted := make(chan [2]int)
	go func() {
		most, replaced := countUnavailable(watching, pods, before)
		counted <- [2]int{most, replaced}
	}()

	env.Apply(`
apiVersion: v1
kind: Secret
metadata: {name: worker-config}
stringData: {worker.properties: "bootstrap.servers=another:9092"}
`)
	env.WaitRestarted(before, 5)
	stop()
	run()
	env.WaitRestarted(before, connectors*4)
	for i := range connectors {
		env.WaitReady(fmt.Sprintf("test-%d", i), 3)
	}
	env.Eventually(func(context.Context) error {
		for i := range connectors {
			if c := env.Connector(fmt.Sprintf("test-%d", i)); len(c.Status.Restarting) > 0 {
				return errors.New("status.restarting of " + c.Name + " is not empty")
			}
		}
		return nil
	})
	end()
	counts := <-counted
	t.Logf("%d pods replaced, at most %d unavailable at the same time", counts[1], counts[0])
	require.Equal(t, connectors*4, counts[1])
	require.LessOrEqual(t, counts[0], limit)
}
