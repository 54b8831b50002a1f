package integration

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/pkg/testkit"
)

// readyWithin is the time that a cache may take to become ready after its resource can be listed.
const readyWithin = 5 * time.Second

const definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]ss.starter.test}
spec:
  group: starter.test
  names: {kind: %[1]s, plural: %[1]ss, singular: %[1]s}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

const object = `
apiVersion: starter.test/v1
kind: %s
metadata: {name: one}
`

func resource(kind string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "starter.test", Version: "v1", Resource: kind + "s"}
}

// start runs a Starter with an informer of the resource until the test ends.
func start(
	t *testing.T, config *rest.Config, resource schema.GroupVersionResource, namespace string,
) (*cacheutil.Starter, *cacheutil.Informer) {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	dynamicClient, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(dynamicClient, 0, namespace, nil)
	starter := cacheutil.NewStarter(client.Discovery().RESTClient(), slog.New(slog.DiscardHandler))
	informer := starter.Add(resource, namespace, factory.ForResource(resource).Informer())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- starter.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return starter, informer
}

func waitFor(t *testing.T, starter *cacheutil.Starter, message string) {
	t.Helper()
	testkit.Eventually(t, 20*time.Second, func(ctx context.Context) error {
		if err := starter.Synced(ctx); err == nil || !strings.Contains(err.Error(), message) {
			return fmt.Errorf("Synced returns %w, expected %q", err, message)
		}
		return nil
	})
}

func TestCacheIsReadySoonAfterItsMissingDefinitionAppears(t *testing.T) {
	t.Parallel()
	cp := testkit.Shared(t)
	namespace, kind := cp.Namespace(t), "latecomer"
	starter, informer := start(t, cp.RESTConfig(), resource(kind), namespace)
	waitFor(t, starter, "cache of latecomers.starter.test is not synced: "+
		"the API server does not serve starter.test/v1 latecomers; install its CustomResourceDefinition")
	require.False(t, informer.Started())
	// A reflector that had been retrying for this long would wait for many seconds more.
	for range 20 {
		require.Error(t, starter.Synced(t.Context()))
		<-time.After(250 * time.Millisecond)
	}
	_, err := cp.ApplyYAML(t.Context(), namespace, fmt.Sprintf(definition, kind)+"---"+fmt.Sprintf(object, kind))
	require.NoError(t, err)
	t.Cleanup(func() { removeDefinition(t, cp, kind) })
	began := time.Now()
	testkit.Eventually(t, readyWithin, starter.Synced)
	t.Logf("ready %s after the definition was established", time.Since(began).Round(time.Millisecond))
	require.True(t, informer.Started())
	require.Equal(t, []string{namespace + "/one"}, informer.GetStore().ListKeys())
}

func TestCacheIsReadyAfterTheMissingRightIsGranted(t *testing.T) {
	t.Parallel()
	cp := testkit.Shared(t)
	namespace := cp.Namespace(t)
	user, err := cp.User("user-of-" + namespace)
	require.NoError(t, err)
	secrets := schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	starter, _ := start(t, user, secrets, namespace)
	waitFor(t, starter, `cache of secrets is not synced: secrets is forbidden: User "user-of-`)
	_, err = cp.ApplyYAML(t.Context(), namespace, fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [secrets], verbs: [list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: user-of-%s}]
`, namespace))
	require.NoError(t, err)
	testkit.Eventually(t, 15*time.Second, starter.Synced)
}

func removeDefinition(t *testing.T, cp *testkit.ControlPlane, kind string) {
	definitions := schema.GroupVersionResource{
		Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
	}
	name := kind + "s.starter.test"
	err := cp.Dynamic().Resource(definitions).Delete(context.Background(), name, metav1.DeleteOptions{})
	require.NoError(t, err)
}
