// Package env runs Weir's services as their users meet them, as processes beside an embedded control plane. The demonstration
// and the benchmarks share it.
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

// Namespace is where the services are installed.
const Namespace = "weir-system"

// Root is the repository's directory: the one above the working directory that holds go.work.
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
			return "", errors.New("find the repository: no directory above this one holds go.work")
		}
	}
}

// Build builds the programs of a service into the repository's bin, as `make build` does.
func Build(ctx context.Context, root, service string) error {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(root, "bin")+string(filepath.Separator), "./cmd/...")
	build.Dir = filepath.Join(root, "services", service)
	build.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	var output bytes.Buffer
	build.Stdout, build.Stderr = &output, &output
	if err := build.Run(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", service, err, output.String())
	}
	return nil
}

// Base is what a kustomize base holds.
type Base struct {
	// Applied is what has been applied.
	Applied []*unstructured.Unstructured
	// LeftOut is the Deployment and its PodDisruptionBudget: simulated nodes would only pretend to run it.
	LeftOut []*unstructured.Unstructured
}

// Install applies the kustomize base of a service, all but what would run it: here the service is a process.
func Install(ctx context.Context, cp *testkit.ControlPlane, root, service string) (Base, error) {
	var base Base
	manifests, err := cp.Kubectl(ctx, "kustomize", filepath.Join(root, "deploy", service))
	if err != nil {
		return base, err
	}
	objects, err := testkit.DecodeYAML(manifests)
	if err != nil {
		return base, fmt.Errorf("decode deploy/%s: %w", service, err)
	}
	var wanted []*unstructured.Unstructured
	for _, object := range objects {
		switch object.GetKind() {
		case "Deployment", "PodDisruptionBudget":
			base.LeftOut = append(base.LeftOut, object)
		default:
			wanted = append(wanted, object)
		}
	}
	if base.Applied, err = cp.Apply(ctx, "", wanted...); err != nil {
		return base, fmt.Errorf("apply deploy/%s: %w", service, err)
	}
	return base, nil
}

// writeKubeconfig writes what a process needs to connect, readable by its user only.
func writeKubeconfig(path string, connection *rest.Config) error {
	const name = "weir"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: connection.Host, CertificateAuthorityData: connection.CAData}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: connection.BearerToken}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return os.Chmod(path, 0o600)
}
