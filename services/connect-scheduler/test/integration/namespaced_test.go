package integration

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/testkit"
	connectscheduler "github.com/weir-dev/weir/services/connect-scheduler/internal/app"
	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

func TestNamespacedOverlayServesOneNamespaceWithoutClusterWidePermissions(t *testing.T) {
	t.Parallel()
	cp := testkit.New(t)
	for _, name := range []string{"kafka", "other"} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		_, err := cp.Client().CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	for _, dir := range []string{testenv.Deploy("base"), testenv.Deploy("overlays", "namespaced")} {
		_, err := cp.Kubectl(t.Context(), "apply", "-k", dir)
		require.NoError(t, err)
	}
	roles, err := cp.Kubectl(t.Context(), "get", "clusterroles,clusterrolebindings", "-o", "name",
		"-l", "app.kubernetes.io/part-of=weir")
	require.NoError(t, err)
	require.Empty(t, roles)
	deployment, err := cp.Client().AppsV1().Deployments("kafka").Get(t.Context(), "connect-scheduler", metav1.GetOptions{})
	require.NoError(t, err)
	command := connectscheduler.Command()
	require.NoError(t, command.ParseFlags(deployment.Spec.Template.Spec.Containers[0].Args))
	served, err := command.Flags().GetString("namespace")
	require.NoError(t, err)
	require.Equal(t, "$(POD_NAMESPACE)", served, "the flag --namespace of the overlay")

	account, err := cp.ServiceAccount(t.Context(), "kafka", "connect-scheduler")
	require.NoError(t, err)
	used := &testkit.Permissions{}
	recorded := rest.CopyConfig(account)
	recorded.Wrap(used.Record)
	stop := testenv.Start(t, func(ctx context.Context) error {
		return testenv.Run(ctx, recorded, testenv.Options{Namespace: "kafka"})
	})
	testenv.Start(t, func(ctx context.Context) error { return testenv.RunFakeRunner(ctx, cp.RESTConfig()) })

	other := testenv.At(t, cp, "other")
	other.ApplyWorkerConfig()
	other.Apply(testenv.Manifest("test", 1))
	env := testenv.At(t, cp, "kafka")
	env.StartConnector("test", 2)
	env.Patch("test", `{"spec":{"task":{"image":"runner:2"},"connectorConfig":{"topic":"orders"}}}`)
	env.WaitReady("test", 2)
	env.Annotate("kctr/test", "strimzi.io/connector-offsets=list")
	env.WaitEvent("Published", "the connector published 2 task configs")
	stop()
	for _, request := range used.Forbidden() {
		optional := []string{"GET /apis/storage.k8s.io/v1/storageclasses", "GET /api/v1/persistentvolumes"}
		require.Contains(t, optional, request, "only the optional permissions are missing")
	}
	require.Empty(t, other.Connector("test").Status.State, "connectors of other namespaces are not served")

	client, err := kubernetes.NewForConfig(account)
	require.NoError(t, err)
	for _, namespace := range []string{"other", ""} {
		_, err := client.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{})
		require.True(t, apierrors.IsForbidden(err), "Secrets of namespace %q: %v", namespace, err)
	}
}

func TestNamespacedOverlayHasTheRulesOfTheClusterRole(t *testing.T) {
	t.Parallel()
	// The overlay changes the kind of the ClusterRole, so it must not copy its rules.
	content, err := os.ReadFile(testenv.Deploy("overlays", "namespaced", "kustomization.yaml"))
	require.NoError(t, err)
	require.NotContains(t, string(content), "apiGroups:")
}
