package integration

import (
	"bytes"
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

func TestConfigValuesStayOutOfLogsEventsStatusAndOtherObjects(t *testing.T) {
	t.Parallel()
	const password = "hunter2-do-not-tell"
	env := testenv.New(t)
	account, err := testenv.Install(t.Context(), env.ControlPlane)
	require.NoError(t, err)
	logs := &buffer{}
	stop := testenv.Start(t, func(ctx context.Context) error {
		return testenv.Run(ctx, account, testenv.Options{Namespace: env.Namespace, Logs: logs})
	})
	env.StartConnector("test", 2, "connection.password: "+password)
	env.Patch("test", `{"spec":{"connectorConfig":{"fake.raw":"not JSON: `+password+`"}}}`)
	env.WaitCondition("test", "TaskConfigsPublished", metav1.ConditionFalse, "TaskConfigInvalid")
	stop()
	require.NotEmpty(t, logs.String())
	require.NotContains(t, logs.String(), password)

	for _, kind := range []string{"events", "statefulsets", "pods", "services", "roles"} {
		require.NotContains(t, env.Kubectl("get", kind, "-o", "yaml"), password, kind)
	}
	require.NotContains(t, env.Kubectl("get", "kctr", "test", "-o", "jsonpath={.status}"), password)
}

// buffer is a bytes.Buffer that may be used concurrently.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *buffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *buffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestConnectorPodMayAccessOnlyItsTaskSecret(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector("test", 1)
	require.Equal(t, "test-connector", env.Pod("test-connector-0").Spec.ServiceAccountName)
	require.False(t, *env.Pod("test-tasks-0").Spec.AutomountServiceAccountToken, "tasks have no token")

	account, err := env.ControlPlane.ServiceAccount(t.Context(), env.Namespace, "test-connector")
	require.NoError(t, err)
	plugin, err := kubernetes.NewForConfig(account)
	require.NoError(t, err)
	secrets := plugin.CoreV1().Secrets(env.Namespace)
	_, err = secrets.Get(t.Context(), "test-tasks", metav1.GetOptions{})
	require.NoError(t, err)
	_, err = secrets.Get(t.Context(), "worker-config", metav1.GetOptions{})
	require.True(t, apierrors.IsForbidden(err), err)
	_, err = secrets.List(t.Context(), metav1.ListOptions{})
	require.True(t, apierrors.IsForbidden(err), err)
	_, err = plugin.CoreV1().Pods(env.Namespace).List(t.Context(), metav1.ListOptions{})
	require.True(t, apierrors.IsForbidden(err), err)
}
