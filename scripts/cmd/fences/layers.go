package main

import (
	"path"
	"slices"
	"strings"
)

// The layers of a service, from the outermost to the innermost. A package imports packages of inner layers only.
const (
	layerTest = iota
	layerCommand
	layerApp
	layerControl
	layerOutside
	layerDecide
)

// layerOf returns the layer of a package, named relative to the directory of its service.
func layerOf(name string) int {
	switch {
	case within(name, "test"):
		return layerTest
	case within(name, "cmd"):
		return layerCommand
	case within(name, "internal/app"):
		return layerApp
	case within(name, "internal/reconcile", "internal/webhook"):
		return layerControl
	case within(name, "internal/decide"):
		return layerDecide
	default:
		return layerOutside
	}
}

// decideOrder lists, for each service, the sub-packages of internal/decide. A package imports only packages to its
// right. The package decide itself, if it exists, is the leftmost one.
var decideOrder = map[string][]string{
	"connect-scheduler":  {"status", "oneshot", "rollout", "desired", "taskset", "spec", "observed"},
	"volume-provisioner": {"adopt", "status", "volumes", "placement", "observed", "disk", "spec"},
}

var layerRules = []rule{
	{
		reason: "the packages of a service import each other in the order cmd -> app -> reconcile, webhook -> " +
			"packages of the outside world -> decide",
		reach: direct,
		from:  in("services"),
		forbids: func(pkg, imported string) bool {
			service, from := cutService(pkg)
			other, to := cutService(strings.TrimPrefix(imported, prefix))
			if !strings.HasPrefix(imported, prefix) || other == "" || service != other {
				return false
			}
			return againstOrder(from, to)
		},
	},
	{
		reason: "the sub-packages of decide import each other in the order of decideOrder in scripts/cmd/fences/layers.go",
		reach:  direct,
		from:   decidePackage.MatchString,
		forbids: func(pkg, imported string) bool {
			service, from := cutService(pkg)
			other, to := cutService(strings.TrimPrefix(imported, prefix))
			if service != other || !within(to, "internal/decide") {
				return false
			}
			return againstDecideOrder(decideOrder[service], from, to)
		},
	},
}

// againstOrder reports whether an import between two packages of a service is against the order of the layers.
// Packages of the outside world may import each other, and so may the packages below one directory, such as
// internal/reconcile.
func againstOrder(from, to string) bool {
	inner, outer := layerOf(to), layerOf(from)
	if outer != inner {
		return outer > inner
	}
	switch inner {
	case layerOutside, layerDecide, layerTest:
		return false
	default:
		return topDirectory(from) != topDirectory(to)
	}
}

// againstDecideOrder reports whether the import goes to the left, or whether one of the packages is not in the order.
func againstDecideOrder(order []string, from, to string) bool {
	position := func(name string) (int, bool) {
		name = strings.TrimPrefix(strings.TrimPrefix(name, "internal/decide"), "/")
		if name == "" {
			return -1, true
		}
		first, _, _ := strings.Cut(name, "/")
		at := slices.Index(order, first)
		return at, at >= 0
	}
	left, known := position(from)
	right, alsoKnown := position(to)
	return !known || !alsoKnown || left > right
}

// cutService splits services/<name>/<package> into the name of the service and the package. Both are empty for a
// package of another module.
func cutService(pkg string) (service, name string) {
	rest, found := strings.CutPrefix(pkg, "services/")
	if !found {
		return "", ""
	}
	service, name, _ = strings.Cut(rest, "/")
	return service, name
}

// topDirectory returns the first two elements of a path, for example internal/reconcile.
func topDirectory(name string) string {
	elements := strings.SplitN(name, "/", 3)
	return path.Join(elements[:min(len(elements), 2)]...)
}
