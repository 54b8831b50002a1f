package transport

import (
	"net/http"
	"slices"
	"strings"
)

// Write is a completed request that may have changed something.
type Write struct {
	// N is the number of the write, starting with 1.
	N           int
	Verb        string
	Group       string
	Resource    string
	Subresource string
	Namespace   string
	// Name is empty for create.
	Name string
}

// String returns for example "patch configmaps/status one".
func (w Write) String() string {
	resource := w.Resource
	if w.Group != "" {
		resource += "." + w.Group
	}
	if w.Subresource != "" {
		resource += "/" + w.Subresource
	}
	return strings.TrimSuffix(w.Verb+" "+resource+" "+w.Name, " ")
}

var verbs = map[string]string{
	http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete",
}

// parse returns the write of a request. Reviews and token requests store nothing and are not writes.
func parse(req *http.Request) (Write, bool) {
	verb, ok := verbs[req.Method]
	if !ok || slices.Contains(req.URL.Query()["dryRun"], "All") {
		return Write{}, false
	}
	w, ok := parsePath(req.URL.Path)
	if !ok || w.Subresource == "token" || strings.HasSuffix(w.Resource, "reviews") {
		return Write{}, false
	}
	w.Verb = verb
	if verb == "delete" && w.Name == "" {
		w.Verb = "deletecollection"
	}
	return w, true
}

// parsePath parses /api/v1/… and /apis/group/version/…, followed by [namespaces/x/]resource[/name[/subresource]].
func parsePath(path string) (Write, bool) {
	var w Write
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case len(parts) >= 3 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) >= 4 && parts[0] == "apis":
		w.Group, parts = parts[1], parts[3:]
	default:
		return w, false
	}
	// namespaces/x and namespaces/x/status are paths of the namespace itself.
	if parts[0] == "namespaces" && len(parts) >= 3 && parts[2] != "status" && parts[2] != "finalize" {
		w.Namespace, parts = parts[1], parts[2:]
	}
	w.Resource = parts[0]
	if len(parts) > 1 {
		w.Name = parts[1]
	}
	if len(parts) > 2 {
		w.Subresource = strings.Join(parts[2:], "/")
	}
	return w, true
}
