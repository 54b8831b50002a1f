package service_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/binaries"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/config"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/service"
)

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(app.Main(service.Command()))
	}
	testkit.Main(m)
}

const (
	namespace = "weir-system"
	patience  = 3 * time.Minute
)

// house is a control plane with drain-cleaner installed from its kustomize base: two replicas under just the rights that the base
// gives, behind a balancer that stands for the Service.
type house struct {
	*testkit.ControlPlane
	weir     versioned.Interface
	account  *rest.Config
	balancer *balancer
	kubectl  string
	stops    []func() error
}

var installed struct {
	sync.Once
	*house
	err error
}

// install is done once for all tests; they keep to namespaces of their own.
func install(t *testing.T) *house {
	t.Helper()
	cp := testkit.Shared(t)
	installed.Do(func() { installed.house, installed.err = newHouse(cp) })
	require.NoError(t, installed.err)
	return installed.house
}

func newHouse(cp *testkit.ControlPlane, change ...func(*config.Config)) (*house, error) {
	// The replicas go on after the set-up; only it is bounded.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	h, err := emptyHouse(ctx, cp)
	if err != nil {
		return nil, err
	}
	for i := range 2 {
		stop, err := h.replica(context.Background(), fmt.Sprintf("replica-%d", i), change...)
		if err != nil {
			return nil, err
		}
		h.stops = append(h.stops, stop)
	}
	return h, h.trusted(ctx)
}

// emptyHouse has all but the replicas.
func emptyHouse(ctx context.Context, cp *testkit.ControlPlane) (*house, error) {
	set, err := binaries.Ensure(ctx, io.Discard)
	if err != nil {
		return nil, err
	}
	h := &house{ControlPlane: cp, kubectl: set.Path(binaries.Kubectl)}
	if h.balancer, err = newBalancer(); err != nil {
		return nil, err
	}
	if err := h.apply(ctx); err != nil {
		return nil, err
	}
	if h.account, err = cp.ServiceAccount(ctx, namespace, "weir-drain-cleaner"); err != nil {
		return nil, err
	}
	h.weir, err = versioned.NewForConfig(cp.RESTConfig())
	return h, err
}

// trusted waits until the API server is told whom to trust.
func (h *house) trusted(ctx context.Context) error {
	err := testkit.Poll(ctx, "the caBundle", func(ctx context.Context) error {
		c, err := h.Client().AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, "weir-drain-cleaner", metav1.GetOptions{})
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

// apply applies the base. Its Deployment has no kubelet to run it; the webhook is called at the balancer, not at the Service.
func (h *house) apply(ctx context.Context) error {
	objects, err := base(ctx, h.ControlPlane)
	if err != nil {
		return err
	}
	var wanted []*unstructured.Unstructured
	for _, o := range objects {
		switch o.GetKind() {
		case "Deployment", "PodDisruptionBudget", "Service":
			continue
		case "ValidatingWebhookConfiguration":
			if err := callAt(o, h.balancer, nil); err != nil {
				return err
			}
		}
		wanted = append(wanted, o)
	}
	_, err = h.Apply(ctx, "", wanted...)
	return err
}

// base is what deploy/drain-cleaner renders.
func base(ctx context.Context, cp *testkit.ControlPlane) ([]*unstructured.Unstructured, error) {
	rendered, err := cp.Kubectl(ctx, "kustomize", filepath.Join("..", "..", "..", "..", "deploy", "drain-cleaner"))
	if err != nil {
		return nil, err
	}
	return testkit.DecodeYAML(rendered)
}

// callAt has a webhook be called at the balancer.
func callAt(configuration *unstructured.Unstructured, b *balancer, trusted []byte) error {
	webhooks, _, _ := unstructured.NestedSlice(configuration.Object, "webhooks")
	client := map[string]any{"url": "https://localhost:" + b.port() + "/drainer"}
	if trusted != nil {
		client["caBundle"] = base64.StdEncoding.EncodeToString(trusted)
	}
	webhooks[0].(map[string]any)["clientConfig"] = client
	return unstructured.SetNestedSlice(configuration.Object, webhooks, "webhooks")
}

// replica runs one process's worth of drain-cleaner behind the balancer until stopped, which waits for its end.
func (h *house) replica(ctx context.Context, name string, change ...func(*config.Config)) (stop func() error, err error) {
	address, end, err := h.process(ctx, name, change...)
	if err != nil {
		return nil, err
	}
	if err := h.balancer.add(ctx, address); err != nil {
		return nil, fmt.Errorf("%w; logs:\n%s", err, logs.String())
	}
	return func() error {
		h.balancer.remove(address)
		return end()
	}, nil
}

// process runs one process's worth of drain-cleaner until its end is asked for, and says where it serves reviews.
func (h *house) process(ctx context.Context, name string, change ...func(*config.Config)) (address string, end func() error, err error) {
	c := config.FromEnv(func(string) string { return "" })
	// The certificate is for the name that the balancer is called by, too.
	c.WebhookAddress, c.ServiceName, c.SecretName, c.Linger = "127.0.0.1:0", "localhost", "weir-drain-cleaner-tls", 200*time.Millisecond
	c.Patience = decide.Patience{Lapse: 20 * time.Second, Settle: time.Second, Nameless: time.Minute}
	c.ProbeEvery = 300 * time.Millisecond
	for _, f := range change {
		f(&c)
	}
	if err := c.Validate(); err != nil {
		return "", nil, err
	}
	o := app.DefaultOptions()
	o.MetricsAddress, o.LeaderElect, o.LeaseNamespace, o.Identity = "", true, namespace, name
	listening := make(chan net.Addr, 1)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	logger := slog.New(slog.NewTextHandler(&logs, nil)).With("replica", name)
	go func() {
		done <- app.Run(ctx, service.Spec(&c, func(a net.Addr) { listening <- a }), o, rest.CopyConfig(h.account), logger)
	}()
	select {
	case err := <-done:
		cancel()
		return "", nil, err
	case a := <-listening:
		return a.String(), func() error { cancel(); return <-done }, nil
	}
}

// logs of all replicas; a failing test prints the end of them.
var logs tail

type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	t.buf = t.buf[max(0, len(t.buf)-1<<16):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

func showLogs(t *testing.T) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logs of drain-cleaner:\n%s", logs.String())
		}
	})
}

// nodes are the test's own.
func (h *house) nodes(t *testing.T, n int) []string {
	t.Helper()
	names, err := h.AddNodes(t.Context(), n, testkit.NodeLabels(map[string]string{"test": label(t)}))
	require.NoError(t, err)
	return names
}

func label(t *testing.T) string {
	return strings.ToLower(strings.ReplaceAll(t.Name()[:min(60, len(t.Name()))], "/", "-"))
}

// statefulSet runs pods with these labels on the test's nodes, one on each.
func (h *house) statefulSet(t *testing.T, namespace, name string, replicas int32, labels map[string]string) {
	t.Helper()
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.StatefulSetSpec{
		Replicas: &replicas, ServiceName: name, PodManagementPolicy: appsv1.ParallelPodManagement,
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
			NodeSelector:                  map[string]string{"test": label(t)},
			TerminationGracePeriodSeconds: new(int64),
			Containers:                    []corev1.Container{{Name: "kafka", Image: "kafka"}},
			Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
				TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: labels}}}}},
		}},
	}}
	_, err := h.Client().AppsV1().StatefulSets(namespace).Create(t.Context(), set, metav1.CreateOptions{})
	require.NoError(t, err)
	h.allReady(t, namespace, name, replicas)
}

func (h *house) allReady(t *testing.T, namespace, name string, replicas int32) {
	t.Helper()
	testkit.Eventually(t, patience, func(ctx context.Context) error {
		s, err := h.Client().AppsV1().StatefulSets(namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && s.Status.ReadyReplicas != replicas {
			err = fmt.Errorf("%d of %d pods are ready", s.Status.ReadyReplicas, replicas)
		}
		return err
	})
}

func (h *house) pod(t *testing.T, namespace, name string) *corev1.Pod {
	t.Helper()
	p, err := h.Client().CoreV1().Pods(namespace).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return p
}

// operator stands for Strimzi's: it replaces pods that carry the annotation, and counts them.
func (h *house) operator(t *testing.T, namespace string, after time.Duration) *atomic.Int32 {
	t.Helper()
	var rolled atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		seen := map[types.UID]time.Time{}
		_ = testkit.Poll(ctx, "the end", func(ctx context.Context) error {
			pods, err := h.Client().CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
			if err != nil {
				return err
			}
			for _, p := range pods.Items {
				if p.Annotations[contract.ManualRollingUpdate] != "true" || p.DeletionTimestamp != nil {
					continue
				}
				if seen[p.UID].IsZero() {
					seen[p.UID] = time.Now()
				}
				if time.Since(seen[p.UID]) >= after && h.Client().CoreV1().Pods(namespace).Delete(ctx, p.Name, metav1.DeleteOptions{}) == nil {
					rolled.Add(1)
				}
			}
			return errors.New("goes on")
		})
	}()
	return &rolled
}

// drain runs the real kubectl, and gives what it prints.
func (h *house) drain(ctx context.Context, node string, args ...string) (output string, err error) {
	args = append([]string{"--kubeconfig=" + h.Kubeconfig(), "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=100s"}, args...)
	command := exec.CommandContext(ctx, h.kubectl, args...)
	command.Env = append(os.Environ(), "HOME="+os.TempDir())
	var all bytes.Buffer
	command.Stdout, command.Stderr = &all, &all
	err = command.Run()
	return all.String(), err
}

// noLease is a cache that has nothing.
func noLease(string) *coordinationv1.Lease { return nil }
