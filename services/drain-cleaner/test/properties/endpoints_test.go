package properties_test

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/weir-dev/weir/pkg/admission"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/perturb"

	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

// endpoints are the webhooks that the API server calls, one for each namespace. Each forwards to the process of
// drain-cleaner that currently runs for the namespace.
type endpoints struct {
	caBundle    []byte
	mu          sync.Mutex
	byNamespace map[string]*testenv.Balancer
}

// serving writes the certificate of all processes to dir.
func serving(t *testing.T, dir string) *endpoints {
	t.Helper()
	c, err := admission.Rotate(
		admission.Certificates{},
		[]string{"localhost"},
		nil,
		admission.Lifetimes{},
		time.Now(),
		rand.Reader,
	)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tls.crt"), c.Cert, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tls.key"), c.Key, 0o600))
	return &endpoints{caBundle: c.TrustBundle, byNamespace: map[string]*testenv.Balancer{}}
}

// point sends the reviews of the namespace to these addresses.
func (f *endpoints) point(namespace string, addresses ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b := f.byNamespace[namespace]; b != nil {
		b.Set(addresses)
	}
}

// open configures the webhook of the base for one namespace and adds nodes for it.
func (f *endpoints) open(ctx context.Context, env perturb.Env) error {
	b, err := testenv.NewBalancer()
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.byNamespace[env.Namespace] = b
	f.mu.Unlock()
	objects, err := testenv.Base(ctx, env.ControlPlane)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if o.GetKind() != "ValidatingWebhookConfiguration" {
			continue
		}
		o.SetName(env.Namespace)
		webhooks, _, _ := unstructured.NestedSlice(o.Object, "webhooks")
		webhooks[0].(map[string]any)["namespaceSelector"] = map[string]any{
			"matchLabels": map[string]any{corev1.LabelMetadataName: env.Namespace},
		}
		err := errors.Join(
			unstructured.SetNestedSlice(o.Object, webhooks, "webhooks"), testenv.CallBalancer(o, b, f.caBundle),
		)
		if err != nil {
			return err
		}
		if _, err := env.Apply(ctx, "", o); err != nil {
			return err
		}
	}
	_, err = env.AddNodes(ctx, 3, testkit.NodeLabels(map[string]string{"test": env.Namespace}))
	return err
}

func (f *endpoints) close(ctx context.Context, env perturb.Env) error {
	f.mu.Lock()
	err := f.byNamespace[env.Namespace].Close()
	delete(f.byNamespace, env.Namespace)
	f.mu.Unlock()
	return errors.Join(
		err,
		env.Client().
			AdmissionregistrationV1().
			ValidatingWebhookConfigurations().
			Delete(ctx, env.Namespace, metav1.DeleteOptions{}),
		env.Client().
			CoreV1().
			Nodes().
			DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "test=" + env.Namespace}),
	)
}
