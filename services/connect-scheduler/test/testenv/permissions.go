package testenv

import (
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/weir-dev/weir/pkg/metrics"
)

// Permissions records the permissions that a client uses, as "verb resource", and the requests that are forbidden.
type Permissions struct {
	mu     sync.Mutex
	seen   map[string]bool
	denied []string
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Record wraps the transport of a client; use it with rest.Config.Wrap.
func (p *Permissions) Record(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		p.mu.Lock()
		defer p.mu.Unlock()
		resource := metrics.Resource(request.URL.Path)
		if p.seen == nil {
			p.seen = map[string]bool{}
		}
		for _, verb := range verbs(request) {
			p.seen[verb+" "+resource] = true
		}
		if response != nil && response.StatusCode == http.StatusForbidden {
			p.denied = append(p.denied, request.Method+" "+request.URL.Path)
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

// Has reports whether a request used a permission.
func (p *Permissions) Has(right string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[right]
}

// All returns the used permissions in order.
func (p *Permissions) All() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for right := range p.seen {
		all = append(all, right)
	}
	slices.Sort(all)
	return all
}

// Forbidden returns the requests that the API server answered with 403.
func (p *Permissions) Forbidden() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.denied
}
