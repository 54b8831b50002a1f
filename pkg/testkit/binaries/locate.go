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

// artifact is one thing in the cache directory.
type artifact struct {
	name string
	// pkg is built, unless it is empty.
	pkg string
	// version is how the answer of a usable program found elsewhere reads; without one it is not looked for.
	version string
	// ask are the arguments that make the program report its version.
	ask []string
}

var artifacts = []artifact{
	{name: Supervisor, pkg: "./supervisor"},
	{name: "stages"},
	{name: Etcd, pkg: "./etcd", version: "etcd Version: 3.6.", ask: []string{"--version"}},
	{name: APIServer, pkg: "k8s.io/kubernetes/cmd/kube-apiserver", version: "Kubernetes v1.36.", ask: []string{"--version"}},
	{name: ControllerManager, pkg: "k8s.io/kubernetes/cmd/kube-controller-manager", version: "Kubernetes v1.36.", ask: []string{"--version"}},
	{name: Scheduler, pkg: "k8s.io/kubernetes/cmd/kube-scheduler", version: "Kubernetes v1.36.", ask: []string{"--version"}},
	{name: Kubectl, pkg: "k8s.io/kubernetes/cmd/kubectl", version: "Client Version: v1.36.", ask: []string{"version", "--client"}},
	{name: Kwok, pkg: "sigs.k8s.io/kwok/cmd/kwok", version: "kwok version v0.8.", ask: []string{"--version"}},
}

// locate fills in where everything is or will be, and returns what is yet to be built.
func (s *Set) locate(ctx context.Context, progress io.Writer) []artifact {
	var missing []artifact
	for _, a := range artifacts {
		cached := filepath.Join(s.Dir, a.name)
		if found := a.elsewhere(ctx, progress); found != "" {
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

func (a artifact) elsewhere(ctx context.Context, progress io.Writer) string {
	if a.version == "" {
		return ""
	}
	if assets := os.Getenv("KUBEBUILDER_ASSETS"); assets != "" {
		path := filepath.Join(assets, a.name)
		if exists(path) && a.usable(ctx, path) {
			return path
		}
		// Whoever set it will want to know.
		fmt.Fprintf(progress, "testkit: %s is not used: it is missing, or does not report %q\n", path, a.version)
	}
	if path, err := exec.LookPath(a.name); err == nil && a.usable(ctx, path) {
		return path
	}
	return ""
}

func (a artifact) usable(ctx context.Context, path string) bool {
	out, err := exec.CommandContext(ctx, path, a.ask...).CombinedOutput()
	return err == nil && strings.Contains(string(out), a.version)
}
