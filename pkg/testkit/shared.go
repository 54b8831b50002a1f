package testkit

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SharedNodes is the number of nodes of New and Shared.
const SharedNodes = 3

// New starts a control plane with three nodes for one test and stops it after the test. The test fails if a component
// exits on its own.
func New(t testing.TB, options ...Option) *ControlPlane {
	t.Helper()
	NeedsControlPlane(t)
	o := Options{Nodes: SharedNodes}
	for _, option := range options {
		option(&o)
	}
	cp, err := Start(t.Context(), o)
	if err != nil {
		t.Fatalf("start a control plane: %v", err)
	}
	t.Cleanup(func() {
		if err := cp.Err(); err != nil {
			t.Error(err)
		}
		if err := cp.Stop(); err != nil {
			t.Error(err)
		}
	})
	return cp
}

var shared struct {
	sync.Mutex
	cp  *ControlPlane
	err error
}

// Shared returns the control plane that all tests of a package share, with three nodes. The first call starts it, or
// attaches to that of AttachVariable. Each test should use its own Namespace.
func Shared(t testing.TB) *ControlPlane {
	t.Helper()
	NeedsControlPlane(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.cp == nil && shared.err == nil {
		// Not the context of the test: other tests use the control plane afterwards.
		if dir := os.Getenv(AttachVariable); dir != "" {
			shared.cp, shared.err = Attach(context.Background(), dir)
		} else {
			shared.cp, shared.err = Start(context.Background(), Options{Nodes: SharedNodes})
		}
	}
	if shared.err != nil {
		t.Fatalf("start the shared control plane: %v", shared.err)
	}
	if err := shared.cp.Err(); err != nil {
		t.Fatal(err)
	}
	return shared.cp
}

// Main runs the tests and stops the Shared control plane. Call it from TestMain. Without it the control plane exits
// after the process, while the tests of the next package are already running.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is Main for a TestMain that continues after the tests. It returns the exit code.
func Run(m *testing.M) int {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.cp != nil {
		if err := shared.cp.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	return code
}

// Namespace creates a namespace named after the test, waits until pods can be created in it, and deletes it after the
// test.
func (cp *ControlPlane) Namespace(t testing.TB) string {
	t.Helper()
	name, err := cp.CreateNamespace(t.Context(), t.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cp.DeleteNamespace(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
	return name
}

var invalidInName = regexp.MustCompile(`[^a-z0-9]+`)

// CreateNamespace creates a namespace whose name is derived from like, and waits for its default service account.
func (cp *ControlPlane) CreateNamespace(ctx context.Context, like string) (string, error) {
	like = strings.Trim(invalidInName.ReplaceAllString(strings.ToLower(like), "-"), "-")
	name := strings.Trim(like[:min(len(like), 40)], "-") + "-" + strings.ToLower(rand.Text()[:6])
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := cp.client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		return "", fmt.Errorf("create namespace %s: %w", name, err)
	}
	return name, cp.poll(ctx, "the default service account of namespace "+name, func(ctx context.Context) error {
		_, err := cp.client.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// DeleteNamespace deletes a namespace. It does not wait until the namespace is gone.
func (cp *ControlPlane) DeleteNamespace(ctx context.Context, name string) error {
	if err := ignoreNotFound(cp.client.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})); err != nil {
		return fmt.Errorf("delete namespace %s: %w", name, err)
	}
	return nil
}
