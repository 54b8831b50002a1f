// Package testenv installs drain-cleaner on an embedded control plane for the integration and property tests.
package testenv

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/binaries"

	draincleaner "github.com/weir-dev/weir/services/drain-cleaner/internal/app"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

const (
	// Namespace that drain-cleaner is installed in.
	Namespace = "weir-system"
	// Timeout is the deadline of each wait. Most waits end within seconds.
	Timeout = 3 * time.Minute
)

// Env is a control plane with drain-cleaner installed from its kustomize base: two replicas, with exactly the rights of
// the base, behind a balancer.
type Env struct {
	*testkit.ControlPlane
	// Weir is an administrator's client of Weir's kinds.
	Weir versioned.Interface
	// Balancer that the API server sends reviews to.
	Balancer *Balancer
	// Stops ends the replicas, in the order of their start.
	Stops []func() error

	account *rest.Config
	kubectl string
	// args are the arguments of the base's container.
	args []string
}

var installed struct {
	sync.Once
	*Env
	err error
}

// Install returns the environment that all tests of a package share. Each test uses namespaces and nodes of its own.
func Install(t *testing.T) *Env {
	t.Helper()
	cp := testkit.Shared(t)
	installed.Do(func() { installed.Env, installed.err = New(cp) })
	require.NoError(t, installed.err)
	return installed.Env
}

// New installs two replicas on the control plane and waits until the API server trusts their certificate.
func New(cp *testkit.ControlPlane, change ...func(*draincleaner.Config)) (*Env, error) {
	// The timeout bounds the installation only: the replicas run longer.
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	e, err := NewWithoutReplicas(ctx, cp)
	if err != nil {
		return nil, err
	}
	for i := range 2 {
		stop, err := e.StartReplica(context.Background(), fmt.Sprintf("replica-%d", i), change...)
		if err != nil {
			return nil, err
		}
		e.Stops = append(e.Stops, stop)
	}
	return e, e.WaitForCABundle(ctx)
}

// NewEmpty returns an environment without drain-cleaner.
func NewEmpty(ctx context.Context, cp *testkit.ControlPlane) (*Env, error) {
	set, err := binaries.Ensure(ctx, io.Discard)
	if err != nil {
		return nil, err
	}
	e := &Env{ControlPlane: cp, kubectl: set.Path(binaries.Kubectl)}
	e.Weir, err = versioned.NewForConfig(cp.RESTConfig())
	return e, err
}

// NewWithoutReplicas installs everything except the replicas.
func NewWithoutReplicas(ctx context.Context, cp *testkit.ControlPlane) (*Env, error) {
	e, err := NewEmpty(ctx, cp)
	if err != nil {
		return nil, err
	}
	if e.Balancer, err = NewBalancer(); err != nil {
		return nil, err
	}
	if err := e.applyBase(ctx); err != nil {
		return nil, err
	}
	e.account, err = cp.ServiceAccount(ctx, Namespace, "drain-cleaner")
	return e, err
}

// WaitForCABundle waits until the webhook configuration has a CA bundle.
func (e *Env) WaitForCABundle(ctx context.Context) error {
	err := testkit.Poll(ctx, "the caBundle", func(ctx context.Context) error {
		configurations := e.Client().AdmissionregistrationV1().ValidatingWebhookConfigurations()
		c, err := configurations.Get(ctx, "weir-drain-cleaner", metav1.GetOptions{})
		if err == nil && len(c.Webhooks[0].ClientConfig.CABundle) == 0 {
			err = errors.New("is empty")
		}
		return err
	})
	if err != nil {
		err = fmt.Errorf("%w; logs:\n%s", err, logs.String())
	}
	return err
}

// applyBase applies the base without what needs a kubelet. The API server calls the balancer instead of the Service.
func (e *Env) applyBase(ctx context.Context) error {
	objects, err := Base(ctx, e.ControlPlane)
	if err != nil {
		return err
	}
	var desired []*unstructured.Unstructured
	for _, o := range objects {
		switch o.GetKind() {
		case "PodDisruptionBudget", "Service":
			continue
		case "Deployment":
			containers, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
			if err != nil {
				return err
			}
			e.args, _, err = unstructured.NestedStringSlice(containers[0].(map[string]any), "args")
			if err != nil {
				return err
			}
			continue
		case "ValidatingWebhookConfiguration":
			if err := CallBalancer(o, e.Balancer, nil); err != nil {
				return err
			}
		}
		desired = append(desired, o)
	}
	_, err = e.Apply(ctx, "", desired...)
	return err
}

// DeployPath is the path of a file or directory below deploy/, as seen from the directory of a test package.
func DeployPath(elements ...string) string {
	return filepath.Join(append([]string{"..", "..", "..", "..", "deploy"}, elements...)...)
}

// Base returns the objects of deploy/base and deploy/drain-cleaner.
func Base(ctx context.Context, cp *testkit.ControlPlane) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, name := range []string{"base", "drain-cleaner"} {
		rendered, err := cp.Kubectl(ctx, "kustomize", DeployPath(name))
		if err != nil {
			return nil, err
		}
		decoded, err := testkit.DecodeYAML(rendered)
		if err != nil {
			return nil, err
		}
		objects = append(objects, decoded...)
	}
	return objects, nil
}

// CallBalancer points the first webhook of a configuration to the balancer. It trusts the CA bundle if there is one.
func CallBalancer(configuration *unstructured.Unstructured, b *Balancer, caBundle []byte) error {
	webhooks, _, _ := unstructured.NestedSlice(configuration.Object, "webhooks")
	client := map[string]any{"url": "https://localhost:" + b.Port() + "/drainer"}
	if caBundle != nil {
		client["caBundle"] = base64.StdEncoding.EncodeToString(caBundle)
	}
	webhooks[0].(map[string]any)["clientConfig"] = client
	return unstructured.SetNestedSlice(configuration.Object, webhooks, "webhooks")
}

// WithTransport returns the environment with another transport of the replicas that it starts.
func (e *Env) WithTransport(wrap transport.WrapperFunc) *Env {
	c := *e
	c.account = rest.CopyConfig(e.account)
	c.account.Wrap(wrap)
	return &c
}

// StartReplica starts a replica and adds it to the balancer. Stop removes it and waits for its end.
func (e *Env) StartReplica(
	ctx context.Context, name string, change ...func(*draincleaner.Config),
) (stop func() error, err error) {
	address, end, err := e.StartProcess(ctx, name, change...)
	if err != nil {
		return nil, err
	}
	if err := e.Balancer.Add(ctx, address); err != nil {
		return nil, fmt.Errorf("%w; logs:\n%s", err, logs.String())
	}
	return func() error {
		e.Balancer.Remove(address)
		return end()
	}, nil
}

// config returns the configuration of a replica: the flags of the base, and an address, a certificate and durations
// that fit a test.
func (e *Env) config() (draincleaner.Config, error) {
	c := draincleaner.FromEnv(func(string) string { return "" })
	flags := pflag.NewFlagSet("base", pflag.ContinueOnError)
	// The flags of pkg/app are set by StartProcess.
	flags.ParseErrorsAllowlist.UnknownFlags = true
	c.AddFlags(flags)
	if err := flags.Parse(e.args); err != nil {
		return c, err
	}
	// The certificate has to be valid for localhost, by which the API server calls the balancer.
	c.WebhookAddress, c.ServiceName, c.SecretName = "127.0.0.1:0", "localhost", "drain-cleaner-tls"
	c.ShutdownDelay = 200 * time.Millisecond
	c.Patience = decide.Patience{Lapse: 20 * time.Second, Settle: time.Second, ReplacementTimeout: time.Minute}
	c.ProbeEvery = 300 * time.Millisecond
	return c, nil
}

// StartProcess starts a replica and returns the address that it serves reviews on. End stops it and waits for its end.
func (e *Env) StartProcess(
	ctx context.Context, name string, change ...func(*draincleaner.Config),
) (address string, end func() error, err error) {
	c, err := e.config()
	if err != nil {
		return "", nil, err
	}
	for _, f := range change {
		f(&c)
	}
	if err := c.Validate(); err != nil {
		return "", nil, err
	}
	o := app.DefaultOptions()
	o.MetricsAddress, o.LeaderElect, o.LeaseNamespace, o.Identity = "", true, Namespace, name
	listening := make(chan net.Addr, 1)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	logger := slog.New(slog.NewTextHandler(&logs, nil)).With("replica", name)
	go func() {
		spec := draincleaner.Spec(&c, func(a net.Addr) { listening <- a })
		done <- app.Run(ctx, spec, o, rest.CopyConfig(e.account), logger)
	}()
	select {
	case err := <-done:
		cancel()
		return "", nil, err
	case a := <-listening:
		return a.String(), func() error { cancel(); return <-done }, nil
	}
}
