package binaries

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// artifact is a program, or the directory of kwok's stages, in the cache directory.
type artifact struct {
	name string
	// pkg is the package to build; empty for the stages.
	pkg string
	// version is contained in the version output of a usable program. Artifacts without one are always built.
	version string
	// versionArgs make the program print its version.
	versionArgs []string
}

var artifacts = []artifact{
	{name: Supervisor, pkg: "./supervisor"},
	{name: "stages"},
	{name: Etcd, pkg: "./etcd", version: "etcd Version: 3.6.", versionArgs: []string{"--version"}},
	{
		name:        APIServer,
		pkg:         "k8s.io/kubernetes/cmd/kube-apiserver",
		version:     "Kubernetes v1.36.",
		versionArgs: []string{"--version"},
	},
	{
		name:        ControllerManager,
		pkg:         "k8s.io/kubernetes/cmd/kube-controller-manager",
		version:     "Kubernetes v1.36.",
		versionArgs: []string{"--version"},
	},
	{
		name:        Scheduler,
		pkg:         "k8s.io/kubernetes/cmd/kube-scheduler",
		version:     "Kubernetes v1.36.",
		versionArgs: []string{"--version"},
	},
	{
		name:        Kubectl,
		pkg:         "k8s.io/kubernetes/cmd/kubectl",
		version:     "Client Version: v1.36.",
		versionArgs: []string{"version", "--client"},
	},
	{name: Kwok, pkg: "sigs.k8s.io/kwok/cmd/kwok", version: "kwok version v0.8.", versionArgs: []string{"--version"}},
}

// locate sets the paths of all artifacts and returns those that must be built.
func (s *Set) locate(ctx context.Context, progress io.Writer) []artifact {
	var missing []artifact
	for _, a := range artifacts {
		cached := filepath.Join(s.Dir, a.name)
		if found := a.installed(ctx, progress); found != "" {
			s.paths[a.name] = found
			continue
		}
		s.paths[a.name] = cached
		if !exists(cached) {
			missing = append(missing, a)
		}
	}
	return missing
}

// installed returns the path of a usable program in KUBEBUILDER_ASSETS or PATH, or "".
func (a artifact) installed(ctx context.Context, progress io.Writer) string {
	if a.version == "" {
		return ""
	}
	if assets := os.Getenv("KUBEBUILDER_ASSETS"); assets != "" {
		path := filepath.Join(assets, a.name)
		if exists(path) && a.usable(ctx, path) {
			return path
		}
		fmt.Fprintf(progress, "testkit: ignoring %s: it is missing or does not report version %q\n", path, a.version)
	}
	if path, err := exec.LookPath(a.name); err == nil && a.usable(ctx, path) {
		return path
	}
	return ""
}

func (a artifact) usable(ctx context.Context, path string) bool {
	out, err := exec.CommandContext(ctx, path, a.versionArgs...).CombinedOutput()
	return err == nil && strings.Contains(string(out), a.version)
}
