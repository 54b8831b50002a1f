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

// sharedNodes lets workloads run, and spread, without a word.
const sharedNodes = 3

// New starts a control plane with three nodes for one test, and stops it after it. The test fails if a component ended on its own.
func New(t testing.TB, options ...Option) *ControlPlane {
	t.Helper()
	NeedsControlPlane(t)
	o := Options{Nodes: sharedNodes}
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

// Shared is the control plane that all tests of a package have in common, with three nodes; the first to call starts it,
// and it ends with the process. Each test keeps to a Namespace of its own.
func Shared(t testing.TB) *ControlPlane {
	t.Helper()
	NeedsControlPlane(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.cp == nil && shared.err == nil {
		// Not the test's context, for others go on with it.
		shared.cp, shared.err = Start(context.Background(), Options{Nodes: sharedNodes})
	}
	if shared.err != nil {
		t.Fatalf("start the shared control plane: %v", shared.err)
	}
	if err := shared.cp.Err(); err != nil {
		t.Fatal(err)
	}
	return shared.cp
}

// Main is for TestMain: it runs the tests, then stops the Shared control plane. Without it that ends with the process all the same;
// with it the next package's tests do not start before it has.
func Main(m *testing.M) {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.cp != nil {
		if err := shared.cp.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// Namespace makes a namespace named after the test, in which pods can be made, and has it deleted after the test.
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

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// MakeNamespace makes a namespace with a name like the one given, and waits for its default service account.
func (cp *ControlPlane) CreateNamespace(ctx context.Context, like string) (string, error) {
	like = strings.Trim(notInNames.ReplaceAllString(strings.ToLower(like), "-"), "-")
	name := strings.Trim(like[:min(len(like), 40)], "-") + "-" + strings.ToLower(rand.Text()[:6])
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := cp.client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		return "", fmt.Errorf("create namespace %s: %w", name, err)
	}
	return name, cp.poll(ctx, "the service account of namespace "+name, func(ctx context.Context) error {
		_, err := cp.client.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// DeleteNamespace has a namespace deleted; it does not wait until all in it is gone.
func (cp *ControlPlane) DeleteNamespace(ctx context.Context, name string) error {
	if err := ignoreNotFound(cp.client.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})); err != nil {
		return fmt.Errorf("delete namespace %s: %w", name, err)
	}
	return nil
}
