// Package env runs Weir's services as local processes against an embedded control plane. The demo and the
// benchmarks share it.
package env

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/weir-dev/weir/pkg/testkit"
)

// Namespace is the namespace that the services are installed in.
const Namespace = "weir-system"

// Root returns the root directory of the repository: the closest parent of the working directory that contains
// go.work.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New(
				"find the repository: no parent directory contains go.work; run this inside the repository",
			)
		}
	}
}

// Build builds the commands of a service into bin/, as `make build` does.
func Build(ctx context.Context, root, service string) error {
	build := exec.CommandContext(
		ctx,
		"go",
		"build",
		"-trimpath",
		"-o",
		filepath.Join(root, "bin")+string(filepath.Separator),
		"./cmd/...",
	)
	build.Dir = filepath.Join(root, "services", service)
	build.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	var output bytes.Buffer
	build.Stdout, build.Stderr = &output, &output
	if err := build.Run(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", service, err, output.String())
	}
	return nil
}

// Base lists the objects of a kustomize base.
type Base struct {
	// Applied lists the objects that were applied.
	Applied []*unstructured.Unstructured
	// Skipped lists the Deployment, its PodDisruptionBudget and the DaemonSet: simulated nodes do not run containers.
	Skipped []*unstructured.Unstructured
}

// Install applies the kustomize base of a service, except what runs its pods: the service runs as a local process
// instead.
func Install(ctx context.Context, cp *testkit.ControlPlane, root, service string) (Base, error) {
	var base Base
	prerequisites, err := cp.Kubectl(ctx, "kustomize", filepath.Join(root, "deploy", "base"))
	if err != nil {
		return base, err
	}
	manifests, err := cp.Kubectl(ctx, "kustomize", filepath.Join(root, "deploy", service))
	if err != nil {
		return base, err
	}
	manifests = prerequisites + "\n---\n" + manifests
	objects, err := testkit.DecodeYAML(manifests)
	if err != nil {
		return base, fmt.Errorf("decode deploy/%s: %w", service, err)
	}
	var wanted []*unstructured.Unstructured
	for _, object := range objects {
		switch object.GetKind() {
		case "Deployment", "DaemonSet", "PodDisruptionBudget":
			base.Skipped = append(base.Skipped, object)
		default:
			wanted = append(wanted, object)
		}
	}
	if base.Applied, err = cp.Apply(ctx, "", wanted...); err != nil {
		return base, fmt.Errorf("apply deploy/%s: %w", service, err)
	}
	return base, nil
}

// WriteKubeconfig writes a kubeconfig for a connection. Only the current user can read the file.
func WriteKubeconfig(path string, connection *rest.Config) error {
	const name = "weir"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: connection.Host, CertificateAuthorityData: connection.CAData}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{
		Token: connection.BearerToken, Impersonate: connection.Impersonate.UserName,
		ImpersonateGroups: connection.Impersonate.Groups, ImpersonateUserExtra: connection.Impersonate.Extra,
	}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return os.Chmod(path, 0o600)
}
