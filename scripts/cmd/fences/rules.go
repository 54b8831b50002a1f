package main

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

const prefix = "github.com/weir-dev/weir/"

// reach is how far a rule follows the imports of a package.
type reach int

const (
	// direct: what the package itself imports.
	direct reach = iota
	// ours: what it imports and what our own packages below it import. Kubernetes' types reach net/http by themselves.
	ours
	// aboveKit: ours, but without what the packages of pkg import.
	aboveKit
	// everything below it.
	everything
)

// enters holds where the imports of an imported package count too.
func (r reach) enters(imported string) bool {
	switch r {
	case everything:
		return true
	case ours:
		return strings.HasPrefix(imported, prefix)
	case aboveKit:
		return strings.HasPrefix(imported, prefix) && !within(imported, prefix+"pkg")
	default:
		return false
	}
}

// rule is one fence: no package of `from` may reach an import for which `forbids` holds.
type rule struct {
	reason  string
	reach   reach
	tests   bool // holds for imports of tests too
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
		reason:  "apis reaches no client, not even by way of others",
		reach:   everything,
		from:    in("apis"),
		forbids: func(_, imported string) bool { return within(imported, "k8s.io/client-go") },
	},
	{
		reason: "generated imports apis and what client-go is made of only",
		reach:  direct,
		tests:  true,
		from:   in("generated"),
		forbids: func(_, imported string) bool {
			return !standard(imported) && !within(imported, prefix+"apis", prefix+"generated",
				"k8s.io/api", "k8s.io/apimachinery", "k8s.io/client-go", "k8s.io/kube-openapi", "sigs.k8s.io/structured-merge-diff/v6")
		},
	},
	{
		reason: "pkg knows nothing of Kafka or gluster: it could live in a repository of its own",
		reach:  ours,
		tests:  true,
		from:   in("pkg"),
		forbids: func(_, imported string) bool {
			return within(imported, strings.TrimSuffix(prefix, "/")) && !within(imported, prefix+"pkg")
		},
	},
	{
		reason: "services meet in the Kubernetes API only: none imports another, nor e2e or scripts",
		tests:  true,
		reach:  ours,
		from:   in("services"),
		forbids: func(pkg, imported string) bool {
			own := prefix + servicePackage.FindString(pkg)
			return within(imported, prefix+"services", prefix+"e2e", prefix+"scripts") && !within(imported, strings.TrimSuffix(own, "/"))
		},
	},
	{
		reason: "e2e sees the suite from outside: apis, generated and pkg/testkit only",
		reach:  direct,
		tests:  true,
		from:   in("e2e"),
		forbids: func(_, imported string) bool {
			return within(imported, strings.TrimSuffix(prefix, "/")) &&
				!within(imported, prefix+"e2e", prefix+"apis", prefix+"generated", prefix+"pkg/testkit")
		},
	},
	{
		reason:  "testkit serves tests; no program that ships imports it",
		reach:   ours,
		from:    commandPackage.MatchString,
		forbids: func(_, imported string) bool { return within(imported, prefix+"pkg/testkit") },
	},
	{
		reason:  "controllers are built on client-go, not on controller-runtime",
		reach:   direct,
		from:    in("services", "pkg"),
		forbids: func(_, imported string) bool { return within(imported, "sigs.k8s.io/controller-runtime") },
	},
	{
		reason: "decide is pure: of the kit it takes what is data, which is apply, condition and event",
		reach:  aboveKit,
		from:   decidePackage.MatchString,
		forbids: func(_, imported string) bool {
			return within(imported, prefix+"pkg") && !within(imported, prefix+"pkg/apply", prefix+"pkg/condition", prefix+"pkg/event")
		},
	},
	{
		// No further than that: Kubernetes' own apply configurations reach a client, by way of their extractors.
		reason: "decide is pure: it imports no client",
		reach:  aboveKit,
		from:   decidePackage.MatchString,
		forbids: func(_, imported string) bool {
			return within(imported, "k8s.io/client-go") && !within(imported, "k8s.io/client-go/applyconfigurations") ||
				within(imported, prefix+"generated/clientset", prefix+"generated/informers", prefix+"generated/listers")
		},
	},
	{
		reason: "decide is pure: it does no I/O and draws no random numbers (net/netip parses addresses)",
		reach:  aboveKit,
		from:   decidePackage.MatchString,
		forbids: func(_, imported string) bool {
			return within(imported, "net/http", "net/rpc", "net/smtp", "os", "syscall", "crypto/rand", "math/rand", "database/sql", "log") ||
				slices.Contains([]string{"net", "crypto/tls", "io/ioutil"}, imported)
		},
	},
}

// in holds for the packages within any of the directories.
func in(dirs ...string) func(string) bool {
	return func(pkg string) bool { return within(pkg, dirs...) }
}

func within(name string, parents ...string) bool {
	return slices.ContainsFunc(parents, func(parent string) bool { return name == parent || strings.HasPrefix(name, parent+"/") })
}

// standard holds for packages of the standard library: their first element is no domain.
func standard(imported string) bool {
	first, _, _ := strings.Cut(path.Clean(imported), "/")
	return !strings.Contains(first, ".")
}
