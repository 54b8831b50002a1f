package reconcile

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

// clientWithUIDs returns a fake client that gives objects UIDs, as the API server does.
func clientWithUIDs() *fake.Clientset {
	client := fake.NewClientset()
	client.PrependReactor("patch", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		patch, fields := action.(clienttesting.PatchActionImpl), map[string]any{}
		if err := json.Unmarshal(patch.Patch, &fields); err != nil {
			return true, nil, err
		}
		fields["metadata"].(map[string]any)["uid"] = patch.Resource.Resource + "-" + patch.Name
		var err error
		if patch.Patch, err = json.Marshal(fields); err != nil {
			return true, nil, err
		}
		return clienttesting.ObjectReaction(client.Tracker())(patch)
	})
	return client
}

func TestObjectsThatWereJustAppliedNeedNoComparison(t *testing.T) {
	t.Parallel()
	s := observed.State{
		Connector: decidetest.Connector(), Worker: decidetest.Worker(), Settings: decidetest.Settings(), Now: decidetest.Noon,
		Comparisons: apply.NewComparisonCache(decide.Manager, 100),
	}
	plan, err := decide.Connector(s, spec.Of(s))
	require.NoError(t, err)
	require.Equal(t, 6, plan.Len())
	client, ns := clientWithUIDs(), s.Connector.Namespace
	require.NoError(t, actor{kube: client}.write(t.Context(), &s, &plan))

	core, rbac := client.CoreV1(), client.RbacV1()
	connector, tasks, get := "test-connector", "test-tasks", metav1.GetOptions{}
	s.Objects.ConnectorSet, err = client.AppsV1().StatefulSets(ns).Get(t.Context(), connector, get)
	require.NoError(t, err)
	s.Objects.ServiceAccount, err = core.ServiceAccounts(ns).Get(t.Context(), connector, get)
	require.NoError(t, err)
	s.Objects.Role, err = rbac.Roles(ns).Get(t.Context(), connector, get)
	require.NoError(t, err)
	s.Objects.RoleBinding, err = rbac.RoleBindings(ns).Get(t.Context(), connector, get)
	require.NoError(t, err)
	for name, secret := range map[string]**corev1.Secret{
		connector: &s.Objects.ConnectorSecret, tasks: &s.Objects.TaskConfigs,
	} {
		*secret, err = core.Secrets(ns).Get(t.Context(), name, get)
		require.NoError(t, err)
		_, err = trimSecret(*secret)
		require.NoError(t, err)
	}
	s.TaskConfigs = describe(s.Objects.TaskConfigs)
	for _, object := range s.Objects.Managed() {
		object.SetManagedFields(nil)
	}
	again, err := decide.Connector(s, spec.Of(s))
	require.NoError(t, err)
	require.Zero(t, again.Len(), "no object was compared")
	s.Comparisons = nil
	again, err = decide.Connector(s, spec.Of(s))
	require.NoError(t, err)
	require.Equal(t, 6, again.Len(), "without managed fields a comparison of any object finds a difference")
}
