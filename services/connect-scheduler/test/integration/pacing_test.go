package integration

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

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

func TestChangedWorkerSecretRestartsNoMorePodsThanTheLimit(t *testing.T) {
	t.Parallel()
	const connectors, limit = 4, 2
	cp := testkit.New(t)
	account, err := testenv.Install(t.Context(), cp)
	require.NoError(t, err)
	run := func(ctx context.Context) error {
		return testenv.Run(ctx, account, testenv.Options{
			Config: func(flags *connectscheduler.Config) { flags.MaxRestartingPods = limit },
		})
	}
	stop := testenv.Start(t, run)
	testenv.Start(t, func(ctx context.Context) error { return testenv.RunFakeRunner(ctx, cp.RESTConfig()) })
	env := testenv.At(t, cp, cp.Namespace(t))
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
	testenv.Start(t, run)
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
