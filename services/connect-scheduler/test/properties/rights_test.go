package properties

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/metrics"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/perturb"
	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

// unused are permissions that no request uses. connect-scheduler needs them to grant them to the connector's pod, and
// for the admission plugin OwnerReferencesPermissionEnforcement.
var unused = []string{"get secrets", "update kafkaconnectors/finalizers", "update kafkaconnects/finalizers"}

func TestEveryPermissionIsUsedAndNoneIsMissing(t *testing.T) {
	t.Parallel()
	cp := controlPlane(t)
	namespace := cp.Namespace(t)
	used := &permissions{seen: map[string]bool{}}
	config := rest.CopyConfig(account)
	config.Wrap(used.record)
	stop := testenv.Start(t, func(ctx context.Context) error {
		return testenv.Run(ctx, config, testenv.Options{Namespace: namespace})
	})

	env := perturb.Env{ControlPlane: cp, Namespace: namespace}
	apply := func(stream string) {
		_, err := cp.ApplyYAML(t.Context(), namespace, stream)
		require.NoError(t, err)
	}
	kubectl := func(args ...string) {
		_, err := cp.Kubectl(t.Context(), append(args, "-n", namespace)...)
		require.NoError(t, err)
	}
	waitFor := func(state, summary string) {
		check := func(ctx context.Context) error { return hasState(ctx, env, state, summary) }
		testkit.Eventually(t, time.Minute, check)
	}
	apply(testenv.Example("worker-config.yaml"))
	apply(testenv.Example("shared-volume.yaml"))
	apply(connector)
	waitFor("Running", "3/3")
	kubectl("patch", "kctr", "test", "--type=merge", "-p", `{"spec":{"task":{"image":"runner:2","serviceSpec":null}}}`)
	waitFor("Running", "3/3")
	kubectl("annotate", "kctr/test", "strimzi.io/restart=true")
	// Events are sent asynchronously. A repeated event is patched.
	granted := grantedPermissions(t, cp)
	testkit.Eventually(t, time.Minute, func(context.Context) error {
		for _, right := range granted {
			if !used.has(right) && !slices.Contains(unused, right) && right != "patch events" {
				return fmt.Errorf("no request used %q of the ClusterRole; used: %v", right, used.all())
			}
		}
		return nil
	})
	stop()
	require.Empty(t, used.forbidden(), "requests that the ClusterRole does not allow")
}

// grantedPermissions returns the permissions of the ClusterRole as "verb resource".
func grantedPermissions(t *testing.T, cp *testkit.ControlPlane) []string {
	t.Helper()
	role, err := cp.Client().RbacV1().ClusterRoles().Get(t.Context(), "weir-connect-scheduler", metav1.GetOptions{})
	require.NoError(t, err)
	var granted []string
	for _, rule := range role.Rules {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				granted = append(granted, verb+" "+resource)
			}
		}
	}
	return granted
}

// permissions records the permissions that a client uses, and the requests that are forbidden.
type permissions struct {
	mu     sync.Mutex
	seen   map[string]bool
	denied []string
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (r *permissions) record(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		r.mu.Lock()
		defer r.mu.Unlock()
		resource := metrics.Resource(request.URL.Path)
		for _, verb := range verbs(request) {
			r.seen[verb+" "+resource] = true
		}
		if response != nil && response.StatusCode == http.StatusForbidden {
			r.denied = append(r.denied, request.Method+" "+request.URL.Path)
		}
		return response, err
	})
}

// verbs returns the verbs that RBAC checks for a request. Server-side apply needs patch, and create for a new object. A
// watch with initial events replaces a list.
func verbs(request *http.Request) []string {
	query := request.URL.Query()
	contentType := request.Header.Get("Content-Type")
	switch {
	case request.Method == http.MethodPatch && strings.HasPrefix(contentType, "application/apply-patch"):
		return []string{"patch", "create"}
	case request.Method == http.MethodPatch:
		return []string{"patch"}
	case request.Method == http.MethodGet && query.Has("watch"):
		return []string{"watch", "list"}
	case request.Method == http.MethodGet:
		return []string{"list"}
	case request.Method == http.MethodPost:
		return []string{"create"}
	}
	return []string{strings.ToLower(request.Method)}
}

func (r *permissions) has(right string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[right]
}

func (r *permissions) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for right := range r.seen {
		all = append(all, right)
	}
	slices.Sort(all)
	return all
}

func (r *permissions) forbidden() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.denied
}
