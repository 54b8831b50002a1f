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
	"strings"

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

// Install applies deploy/base and the kustomize bases of services, without their Deployments and DaemonSets: the
// services run as local processes instead.
func Install(ctx context.Context, cp *testkit.ControlPlane, root string, services ...string) (Base, error) {
	return install(ctx, cp, root, append([]string{"base"}, services...)...)
}

// InstallMore is Install on a control plane that has deploy/base.
func InstallMore(ctx context.Context, cp *testkit.ControlPlane, root string, services ...string) (Base, error) {
	return install(ctx, cp, root, services...)
}

func install(ctx context.Context, cp *testkit.ControlPlane, root string, directories ...string) (Base, error) {
	var base Base
	var manifests strings.Builder
	for _, directory := range directories {
		output, err := cp.Kubectl(ctx, "kustomize", filepath.Join(root, "deploy", directory))
		if err != nil {
			return base, err
		}
		manifests.WriteString(output + "\n---\n")
	}
	name := strings.Join(directories, ", deploy/")
	objects, err := testkit.DecodeYAML(manifests.String())
	if err != nil {
		return base, fmt.Errorf("decode deploy/%s: %w", name, err)
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
		return base, fmt.Errorf("apply deploy/%s: %w", name, err)
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
