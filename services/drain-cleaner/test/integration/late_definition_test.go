package integration_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/weir-dev/weir/pkg/testkit"

	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

// The definition of KafkaDrainPolicy and the permission to read policies come after drain-cleaner was started. Policies
// are followed then without a restart.
func TestPoliciesAreFollowedWhenTheirDefinitionComesLater(t *testing.T) {
	t.Parallel()
	cp := testkit.New(t)
	env, err := testenv.NewEmpty(t.Context(), cp)
	require.NoError(t, err)
	ns := env.Namespace(t)
	health := freePort(t)
	p := startInPlaceOfStrimzis(t, env, ns, "get, list, watch, patch", "", freePort(t), health, "--policies=required",
		"--service-namespace="+ns)
	readiness := func(ctx context.Context) (int, string, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+health+"/readyz", nil)
		if err != nil {
			return 0, "", err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0, "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return response.StatusCode, string(body), err
	}
	var message string
	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
		if err := p.fault(); err != nil {
			return testkit.Permanent(err)
		}
		status, body, err := readiness(ctx)
		if err == nil && status != http.StatusServiceUnavailable {
			err = fmt.Errorf("readyz answers %d: %s", status, body)
		}
		message = body
		return err
	})
	assert.Contains(t, message, "kafkadrainpolicies.drain.weir.dev")
	env.AddTestNodes(t, 1)
	env.StatefulSet(t, ns, "kafka", 1, testenv.KafkaLabels)
	err = env.Evict(t.Context(), ns, "kafka-0", "")
	require.True(t, apierrors.IsTooManyRequests(err), "a pod that may have a policy is allowed: %v", err)
	assert.ErrorContains(t, err, "LookupFailed: list the policies of namespace "+ns)

	_, err = env.Kubectl(t.Context(), "apply", "--server-side", "-k", testenv.DeployPath("crds", "drain.weir.dev"))
	require.NoError(t, err)
	_, err = env.ApplyYAML(t.Context(), ns, fmt.Sprintf(policyPermissions, ns))
	require.NoError(t, err)
	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
		_, err := env.ApplyYAML(ctx, ns, "apiVersion: drain.weir.dev/v1alpha1\nkind: KafkaDrainPolicy\n"+
			"metadata: {name: kafka}\nspec: {podSelector: {matchLabels: {app: kafka}}}\n")
		return err
	})
	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
		status, body, err := readiness(ctx)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("readyz answers %d: %s", status, body)
		}
		return err
	})
	err = env.Evict(t.Context(), ns, "kafka-0", "")
	require.True(t, apierrors.IsTooManyRequests(err), "the policy is not followed: %v", err)
	require.NoError(t, p.fault())
}

// policyPermissions are the permissions of the base that policies need.
const policyPermissions = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: %[1]s-policies}
rules:
- {apiGroups: [drain.weir.dev], resources: [kafkadrainpolicies], verbs: [get, list, watch]}
- {apiGroups: [drain.weir.dev], resources: [kafkadrainpolicies/status], verbs: [update]}
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, list, watch, create, update, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: %[1]s-policies}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[1]s-policies}
subjects: [{kind: ServiceAccount, name: strimzi-drain-cleaner, namespace: %[1]s}]
`
