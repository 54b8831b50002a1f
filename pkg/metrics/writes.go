package metrics

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
)

// CountWrites returns a copy of config whose client counts all requests that modify something, by verb, resource and
// status code. client-go's rest_client_requests_total has no label for the resource.
func CountWrites(config *rest.Config, r prometheus.Registerer) *rest.Config {
	writes := registered(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_api_writes_total",
		Help: "API writes by verb, resource and HTTP status code (0: no response).",
	}, []string{"verb", "resource", "code"}))
	counted := rest.CopyConfig(config)
	counted.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(request)
			if verb := writeVerb(request); verb != "" {
				code := 0
				if response != nil {
					code = response.StatusCode
				}
				writes.WithLabelValues(verb, Resource(request.URL.Path), strconv.Itoa(code)).Inc()
			}
			return response, err
		})
	})
	return counted
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

func writeVerb(request *http.Request) string {
	switch request.Method {
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodDelete:
		return "delete"
	case http.MethodPatch:
		if strings.HasPrefix(request.Header.Get("Content-Type"), "application/apply-patch") {
			return "apply"
		}
		return "patch"
	}
	return ""
}

// Resource returns the resource of a path of the Kubernetes API with its subresource, for example "statefulsets" or
// "kafkaconnectors/status". It returns "other" for paths that have no resource.
func Resource(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		parts = parts[3:]
	default:
		return "other"
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	if len(parts) > 2 {
		return parts[0] + "/" + parts[2]
	}
	return parts[0]
}
