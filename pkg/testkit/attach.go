package testkit

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/weir-dev/weir/pkg/testkit/binaries"
)

// AttachVariable is the environment variable with the directory of Share, which makes Shared use that control plane.
const AttachVariable = "WEIR_TESTKIT_CONTROL_PLANE"

var errAttached = errors.New("another process runs the control plane")

// sharedFiles are what Attach needs.
var sharedFiles = []string{"kubeconfig", "ca.key"}

// Share writes what another process needs to Attach to the control plane into a new directory.
func (cp *ControlPlane) Share(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for _, name := range sharedFiles {
		data, err := os.ReadFile(cp.file(name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			return fmt.Errorf("share the control plane: %w", err)
		}
	}
	return nil
}

// Attach returns a control plane that another process runs, from the directory of Share. Its components cannot be
// stopped or paused.
func Attach(ctx context.Context, dir string) (*ControlPlane, error) {
	set, err := binaries.Ensure(ctx, os.Stderr)
	if err != nil {
		return nil, err
	}
	cp := &ControlPlane{set: set, dir: dir}
	config, err := clientcmd.BuildConfigFromFlags("", cp.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("attach to the control plane: %w", err)
	}
	cp.url, cp.token = config.Host, config.BearerToken
	if cp.authority, err = readAuthority(config.CAData, cp.file("ca.key")); err != nil {
		return nil, fmt.Errorf("attach to the control plane: %w", err)
	}
	if cp.client, err = kubernetes.NewForConfig(cp.RESTConfig()); err != nil {
		return nil, err
	}
	if cp.dynamic, err = dynamic.NewForConfig(cp.RESTConfig()); err != nil {
		return nil, err
	}
	cp.mapper = newMapper(cp.client.Discovery())
	return cp, nil
}

func readAuthority(certificate []byte, keyFile string) (*authority, error) {
	block, _ := pem.Decode(certificate)
	content, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	keyBlock, _ := pem.Decode(content)
	if block == nil || keyBlock == nil {
		return nil, errors.New("the CA is not in PEM format")
	}
	a := &authority{pem: certificate}
	if a.certificate, err = x509.ParseCertificate(block.Bytes); err != nil {
		return nil, err
	}
	a.key, err = x509.ParseECPrivateKey(keyBlock.Bytes)
	return a, err
}
