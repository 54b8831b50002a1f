package testkit

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/pkg/metrics"
)

// Permissions records which permissions a client uses, as "verb resource", and which requests are forbidden. Record
// wraps the transport of the client.
type Permissions struct {
	mu        sync.Mutex
	used      []string
	forbidden []string
}

type recorder func(*http.Request) (*http.Response, error)

func (r recorder) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

// Record is for rest.Config.Wrap.
func (p *Permissions) Record(next http.RoundTripper) http.RoundTripper {
	return recorder(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		resource := metrics.Resource(request.URL.Path)
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, verb := range verbs(request) {
			p.used = append(p.used, verb+" "+resource)
		}
		slices.Sort(p.used)
		p.used = slices.Compact(p.used)
		if response != nil && response.StatusCode == http.StatusForbidden {
			p.forbidden = append(p.forbidden, request.Method+" "+request.URL.Path)
		}
		return response, err
	})
}

// verbs returns the verbs that RBAC checks for a request. A watch with initial events replaces a list. Server-side
// apply needs patch, and create for a new object.
func verbs(request *http.Request) []string {
	switch request.Method {
	case http.MethodGet:
		switch {
		case request.URL.Query().Has("watch"):
			return []string{"watch", "list"}
		case isCollection(request.URL.Path):
			return []string{"list"}
		}
		return []string{"get"}
	case http.MethodPost:
		return []string{"create"}
	case http.MethodPut:
		return []string{"update"}
	case http.MethodPatch:
		if strings.HasPrefix(request.Header.Get("Content-Type"), "application/apply-patch") {
			return []string{"patch", "create"}
		}
	}
	return []string{strings.ToLower(request.Method)}
}

// isCollection reports whether a path has no name of an object.
func isCollection(path string) bool {
	path = strings.Trim(path, "/")
	version := 2
	if strings.HasPrefix(path, "apis/") {
		version = 3
	}
	parts := strings.Split(path, "/")
	parts = parts[min(version, len(parts)):]
	if len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	return len(parts) == 1
}

// Used returns the used permissions in order.
func (p *Permissions) Used() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.used)
}

// Forbidden returns the requests that the API server answered with 403.
func (p *Permissions) Forbidden() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.forbidden)
}

// Granted returns the permissions of ClusterRoles as "verb resource".
func (cp *ControlPlane) Granted(ctx context.Context, clusterRoles ...string) ([]string, error) {
	var granted []string
	for _, name := range clusterRoles {
		role, err := cp.Client().RbacV1().ClusterRoles().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		for _, rule := range role.Rules {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					granted = append(granted, verb+" "+resource)
				}
			}
		}
	}
	return granted, nil
}
