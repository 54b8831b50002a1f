//go:build linux

package testenv

import (
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/weir-dev/weir/pkg/metrics"
)

// Permissions records which permissions a client uses, as "verb resource", and which requests are forbidden. Record
// wraps the transport of the client.
type Permissions struct {
	mu        sync.Mutex
	used      []string
	forbidden []string
}

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// Record is for rest.Config.Wrap.
func (p *Permissions) Record(next http.RoundTripper) http.RoundTripper {
	return transport(func(request *http.Request) (*http.Response, error) {
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

// verbs returns the verbs that RBAC checks for a request. A watch with initial events replaces a list.
func verbs(request *http.Request) []string {
	switch request.Method {
	case http.MethodGet:
		switch {
		case request.URL.Query().Has("watch"):
			return []string{"watch", "list"}
		case request.URL.Query().Has("limit") || request.URL.Query().Has("resourceVersion"):
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
