package testkit_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit"
)

type answer int

func (a answer) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: int(a), Body: http.NoBody}, nil
}

func TestPermissionsHaveTheVerbsThatRBACChecks(t *testing.T) {
	t.Parallel()
	const apply = "application/apply-patch+yaml"
	for name, c := range map[string]struct {
		method, path, contentType, want string
	}{
		"a list in a namespace":      {"GET", "/api/v1/namespaces/a/pods?limit=5", "", "list pods"},
		"a list of namespaces":       {"GET", "/api/v1/namespaces", "", "list namespaces"},
		"a list of a group":          {"GET", "/apis/apps/v1/deployments", "", "list deployments"},
		"a watch":                    {"GET", "/apis/apps/v1/pods?watch=1", "", "list pods, watch pods"},
		"a get":                      {"GET", "/api/v1/namespaces/a/pods/b?resourceVersion=0", "", "get pods"},
		"a get of a namespace":       {"GET", "/api/v1/namespaces/a", "", "get namespaces"},
		"a get of a cluster object":  {"GET", "/api/v1/nodes/a", "", "get nodes"},
		"a create of a subresource":  {"POST", "/api/v1/namespaces/a/pods/b/eviction", "", "create pods/eviction"},
		"an update":                  {"PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/b", "", "update leases"},
		"a patch":                    {"PATCH", "/api/v1/nodes/a", "application/merge-patch+json", "patch nodes"},
		"an apply":                   {"PATCH", "/api/v1/nodes/a/status", apply, "create nodes/status, patch nodes/status"},
		"a deletion":                 {"DELETE", "/api/v1/nodes/a", "", "delete nodes"},
		"a path without a resource":  {"GET", "/version", "", "get other"},
		"the discovery of an API":    {"GET", "/apis", "", "get other"},
		"the discovery of resources": {"GET", "/apis/apps/v1", "", "get other"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request, err := http.NewRequestWithContext(t.Context(), c.method, "https://server"+c.path, strings.NewReader(""))
			require.NoError(t, err)
			request.Header.Set("Content-Type", c.contentType)
			used := &testkit.Permissions{}
			response, err := used.Record(answer(http.StatusOK)).RoundTrip(request)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			require.Equal(t, c.want, strings.Join(used.Used(), ", "))
			require.Empty(t, used.Forbidden())
		})
	}
}

func TestPermissionsNameForbiddenRequests(t *testing.T) {
	t.Parallel()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://server/api/v1/secrets", nil)
	require.NoError(t, err)
	used := &testkit.Permissions{}
	response, err := used.Record(answer(http.StatusForbidden)).RoundTrip(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, []string{"GET /api/v1/secrets"}, used.Forbidden())
}
