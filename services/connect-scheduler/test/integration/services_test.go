package integration

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

func TestServicesAreCreatedAndDeletedWithServiceSpec(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 1)
	services := env.Client().CoreV1().Services(env.Namespace)
	waitCount := func(want int) {
		t.Helper()
		env.Eventually(func(ctx context.Context) error {
			list, err := services.List(ctx, metav1.ListOptions{})
			if err == nil && len(list.Items) != want {
				return fmt.Errorf("found %d Services, expected %d", len(list.Items), want)
			}
			return err
		})
	}
	env.Patch("test", `{"spec":{"task":{"serviceSpec":{"ports":[{"name":"syslog","port":5454}]}}}}`)
	waitCount(2)
	headless, err := services.Get(t.Context(), "test-tasks-headless", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, corev1.ClusterIPNone, headless.Spec.ClusterIP)
	env.Patch("test", `{"spec":{"task":{"serviceSpec":null}}}`)
	waitCount(0)
	env.WaitReady("test", 1)
}
