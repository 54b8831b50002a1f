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
	"github.com/weir-dev/weir/services/connect-scheduler/internal/rig"
)

// passedOn are rights that are never used but have to be held: what the connector's own Role gives may not be more than its
// maker has, and clusters that check blockOwnerDeletion want finalizers.
var passedOn = []string{"get secrets", "update kafkaconnectors/finalizers", "update kafkaconnects/finalizers"}

func TestEveryRightIsUsedAndNoneIsMissing(t *testing.T) {
	t.Parallel()
	cp := controlPlane(t)
	namespace := cp.Namespace(t)
	used := &rights{seen: map[string]bool{}}
	config := rest.CopyConfig(account)
	config.Wrap(used.watch)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- rig.Service(ctx, config, rig.Options{Namespace: namespace}) }()

	env := perturb.Env{ControlPlane: cp, Namespace: namespace}
	apply := func(stream string) {
		_, err := cp.ApplyYAML(ctx, namespace, stream)
		require.NoError(t, err)
	}
	kubectl := func(args ...string) {
		_, err := cp.Kubectl(ctx, append(args, "-n", namespace)...)
		require.NoError(t, err)
	}
	settled := func(state, summary string) {
		testkit.Eventually(t, time.Minute, func(ctx context.Context) error { return at(ctx, env, state, summary) })
	}
	apply(rig.Example("worker-config.yaml"))
	apply(rig.Example("shared-volume.yaml"))
	apply(connector)
	settled("Running", "3/3")
	kubectl("patch", "kctr", "test", "--type=merge", "-p", `{"spec":{"task":{"image":"runner:2","serviceSpec":null}}}`)
	settled("Running", "3/3")
	kubectl("annotate", "kctr/test", "strimzi.io/restart=true")
	// Events are sent in their own time, and one that is seen again is patched.
	granted := grantedRights(t, cp)
	testkit.Eventually(t, time.Minute, func(context.Context) error {
		for _, right := range granted {
			if !used.has(right) && !slices.Contains(passedOn, right) && right != "patch events" {
				return fmt.Errorf("the ClusterRole gives %q, which nothing has used; used are %v", right, used.all())
			}
		}
		return nil
	})
	stop()
	require.NoError(t, <-ended)
	require.Empty(t, used.refused(), "requests that the ClusterRole does not allow")
}

// grantedRights are the rights of the shipped ClusterRole, as "verb resource".
func grantedRights(t *testing.T, cp *testkit.ControlPlane) []string {
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

// rights sees what a client asks for, and what it is refused.
type rights struct {
	mu     sync.Mutex
	seen   map[string]bool
	denied []string
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (r *rights) watch(next http.RoundTripper) http.RoundTripper {
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

// verbs are those that RBAC checks for a request. Server-side apply needs patch, and create where nothing is there yet; a
// watch that sends what is there first takes the place of a list.
func verbs(request *http.Request) []string {
	query := request.URL.Query()
	switch {
	case request.Method == http.MethodPatch && strings.HasPrefix(request.Header.Get("Content-Type"), "application/apply-patch"):
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

func (r *rights) has(right string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[right]
}

func (r *rights) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for right := range r.seen {
		all = append(all, right)
	}
	slices.Sort(all)
	return all
}

func (r *rights) refused() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.denied
}
