package main

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

const prefix = "github.com/weir-dev/weir/"

// reach defines how far a rule follows the imports of a package.
type reach int

const (
	// direct checks the imports of the package itself.
	direct reach = iota
	// ours also checks the imports of the repository's packages that it imports, directly or indirectly. It stops at
	// packages of other modules, because Kubernetes' own types import net/http.
	ours
	// abovePkg is like ours, but stops at packages of pkg/.
	abovePkg
	// everything checks all direct and indirect imports.
	everything
)

// enters reports whether the imports of an imported package are checked too.
func (r reach) enters(imported string) bool {
	switch r {
	case everything:
		return true
	case ours:
		return strings.HasPrefix(imported, prefix)
	case abovePkg:
		return strings.HasPrefix(imported, prefix) && !within(imported, prefix+"pkg")
	default:
		return false
	}
}

// rule forbids imports. A package for which from is true must not import a package for which forbids is true.
type rule struct {
	// reason ends the message: "a imports b: reason".
	reason string
	// reach is direct if unset.
	reach reach
	// tests includes the imports of test files.
	tests   bool
	from    func(pkg string) bool
	forbids func(pkg, imported string) bool
}

var (
	decidePackage  = regexp.MustCompile(`^services/[^/]+/internal/decide(/|$)`)
	commandPackage = regexp.MustCompile(`^services/[^/]+/cmd/`)
	servicePackage = regexp.MustCompile(`^services/([^/]+)(/|$)`)
)

var rules = []rule{
	{
		reason: "apis imports the standard library, k8s.io/api and k8s.io/apimachinery only",
		reach:  direct,
		from:   in("apis"),
		forbids: func(_, imported string) bool {
			return !standard(imported) && !within(imported, prefix+"apis", "k8s.io/api", "k8s.io/apimachinery")
		},
	},
	{
		reason:  "apis imports no client, directly or indirectly",
		reach:   everything,
		from:    in("apis"),
		forbids: func(_, imported string) bool { return within(imported, "k8s.io/client-go") },
	},
	{
		reason: "generated imports only apis, client-go and the libraries that client-go is built on",
		reach:  direct,
		tests:  true,
		from:   in("generated"),
		forbids: func(_, imported string) bool {
			return !standard(imported) && !within(
				imported,
				prefix+"apis",
				prefix+"generated",
				"k8s.io/api",
				"k8s.io/apimachinery",
				"k8s.io/client-go",
				"k8s.io/kube-openapi",
				"sigs.k8s.io/structured-merge-diff/v6",
			)
		},
	},
	{
		reason: "pkg is independent of the rest of the repository: it imports neither apis, generated nor services",
		reach:  ours,
		tests:  true,
		from:   in("pkg"),
		forbids: func(_, imported string) bool {
			return within(imported, strings.TrimSuffix(prefix, "/")) && !within(imported, prefix+"pkg")
		},
	},
	{
		reason: "services communicate only through the Kubernetes API: a service imports no other service, " +
			"no e2e and no scripts",
		tests: true,
		reach: ours,
		from:  in("services"),
		forbids: func(pkg, imported string) bool {
			own := prefix + servicePackage.FindString(pkg)
			return within(imported, prefix+"services", prefix+"e2e", prefix+"scripts") &&
				!within(imported, strings.TrimSuffix(own, "/"))
		},
	},
	{
		reason: "e2e is a black-box suite: it imports only apis, generated and pkg/testkit",
		reach:  direct,
		tests:  true,
		from:   in("e2e"),
		forbids: func(_, imported string) bool {
			return within(imported, strings.TrimSuffix(prefix, "/")) &&
				!within(imported, prefix+"e2e", prefix+"apis", prefix+"generated", prefix+"pkg/testkit")
		},
	},
	{
		reason:  "testkit is for tests: a released program does not import it",
		reach:   ours,
		from:    commandPackage.MatchString,
		forbids: func(_, imported string) bool { return within(imported, prefix+"pkg/testkit") },
	},
	{
		reason:  "controllers use client-go, not controller-runtime",
		reach:   direct,
		from:    in("services", "pkg"),
		forbids: func(_, imported string) bool { return within(imported, "sigs.k8s.io/controller-runtime") },
	},
	{
		reason: "decide is pure: from pkg it imports only the data types of apply, condition and event, and text",
		reach:  abovePkg,
		from:   decidePackage.MatchString,
		forbids: func(_, imported string) bool {
			return within(imported, prefix+"pkg") &&
				!within(imported, prefix+"pkg/apply", prefix+"pkg/condition", prefix+"pkg/event", prefix+"pkg/text")
		},
	},
	{
		// The rule stops at other modules: the extractors in Kubernetes' own apply configurations import a client.
		reason: "decide is pure: it imports no client",
		reach:  abovePkg,
		from:   decidePackage.MatchString,
		forbids: func(_, imported string) bool {
			return within(imported, "k8s.io/client-go") &&
				!within(imported, "k8s.io/client-go/applyconfigurations") ||
				within(
					imported,
					prefix+"generated/clientset",
					prefix+"generated/informers",
					prefix+"generated/listers",
				)
		},
	},
	{
		reason: "decide is pure: no I/O and no random numbers (net/netip is allowed, it parses addresses)",
		reach:  abovePkg,
		from:   decidePackage.MatchString,
		forbids: func(_, imported string) bool {
			return within(imported, "net/http", "net/rpc", "net/smtp", "os", "syscall", "crypto/rand", "math/rand",
				"database/sql", "log") ||
				slices.Contains([]string{"net", "crypto/tls", "io/ioutil"}, imported)
		},
	},
}

// in returns a function that reports whether a package is in one of the directories.
func in(dirs ...string) func(string) bool {
	return func(pkg string) bool { return within(pkg, dirs...) }
}

// within reports whether name is one of the parents or below one of them.
func within(name string, parents ...string) bool {
	return slices.ContainsFunc(
		parents,
		func(parent string) bool { return name == parent || strings.HasPrefix(name, parent+"/") },
	)
}

// standard reports whether a package belongs to the standard library: its first path element is not a domain.
func standard(imported string) bool {
	first, _, _ := strings.Cut(path.Clean(imported), "/")
	return !strings.Contains(first, ".")
}
