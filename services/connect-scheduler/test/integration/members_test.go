package integration

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

func TestStaticMembersOfASinkAreRemovedAfterAScaleDown(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 4, `fake.sink: "true"`)
	pods, err := env.Client().CoreV1().Pods(env.Namespace).Watch(env.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	defer pods.Stop()
	env.Kubectl("scale", "kctr/test", "--replicas=2")
	env.WaitReady("test", 2)
	tasks, args := 4, []string(nil)
	env.Eventually(func(ctx context.Context) error {
		for args == nil {
			select {
			case event := <-pods.ResultChan():
				pod, isPod := event.Object.(*corev1.Pod)
				switch {
				case !isPod:
					return fmt.Errorf("unexpected event %v", event)
				case pod.Name == "test-members":
					args = pod.Spec.Containers[0].Args
				case event.Type == "DELETED" && pod.Labels["io.confluent.csid.connect.type"] == "task":
					tasks--
				}
			case <-ctx.Done():
				return ctx.Err()
			default:
				return errors.New("pod test-members is not created")
			}
		}
		return nil
	})
	require.Equal(t, []string{"members", "remove", "--remaining-tasks", "2", "--previous-tasks", "4"}, args)
	require.Equal(t, 2, tasks, "the pods of the removed tasks are gone")
	env.WaitGone("pod/test-members")
	env.WaitReady("test", 2)
}
