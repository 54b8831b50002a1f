package lookup_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/testkit"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/lookup"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const timeout = time.Minute

// env is a Lookup whose requests are counted.
type env struct {
	*lookup.Lookup
	cp   *testkit.ControlPlane
	weir versioned.Interface
	// watches is the number of open watches of pods.
	watches atomic.Int32
	// reads counts the requests of reviews.
	reads atomic.Int32
	// changed contains the policies that were reported.
	changed sync.Map
}

// countWatches counts the open watches of pods.
func (e *env) countWatches(r *http.Request, next http.RoundTripper) (*http.Response, error) {
	response, err := next.RoundTrip(r)
	if err == nil && strings.HasSuffix(r.URL.Path, "/pods") && r.URL.Query().Get("watch") != "" {
		e.watches.Add(1)
		response.Body = &closeNotifier{ReadCloser: response.Body, closed: func() { e.watches.Add(-1) }}
	}
	return response, err
}

func (e *env) countReads(r *http.Request, next http.RoundTripper) (*http.Response, error) {
	e.reads.Add(1)
	return next.RoundTrip(r)
}

type closeNotifier struct {
	io.ReadCloser
	once   sync.Once
	closed func()
}

func (c *closeNotifier) Close() error {
	c.once.Do(c.closed)
	return c.ReadCloser.Close()
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// clients returns clients whose requests pass through count.
func (e *env) clients(
	t *testing.T, count func(*http.Request, http.RoundTripper) (*http.Response, error),
) (kubernetes.Interface, versioned.Interface) {
	t.Helper()
	config := e.cp.RESTConfig()
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) { return count(r, next) })
	})
	kube, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	weir, err := versioned.NewForConfig(config)
	require.NoError(t, err)
	return kube, weir
}

// start runs a Lookup for one namespace, or for all if it is empty.
func start(t *testing.T, cp *testkit.ControlPlane, namespace string, change ...func(*lookup.Options)) *env {
	t.Helper()
	e := &env{cp: cp}
	_, err := cp.ApplyFiles(t.Context(), "", "../../../../deploy/crds/drain.weir.dev/kafkadrainpolicies.yaml")
	require.NoError(t, err)
	e.weir, err = versioned.NewForConfig(cp.RESTConfig())
	require.NoError(t, err)
	o := lookup.Options{
		Namespace: namespace, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		PolicyChanged: func(policy cache.ObjectName) { e.changed.Store(policy.String(), true) },
	}
	o.CacheKube, o.CacheWeir = e.clients(t, e.countWatches)
	o.Kube, o.Weir = e.clients(t, e.countReads)
	for _, c := range change {
		c(&o)
	}
	e.Lookup, err = lookup.New(o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	testkit.Eventually(t, timeout, e.Synced)
	return e
}

// createPod creates a pod.
func (e *env) createPod(t *testing.T, namespace, name string, labels map[string]string) {
	t.Helper()
	_, err := e.cp.Client().CoreV1().Pods(namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "kafka", Image: "kafka"}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// createPolicy creates a policy and a pod that it selects.
func (e *env) createPolicy(t *testing.T, namespace, name string) *drainv1alpha1.KafkaDrainPolicy {
	t.Helper()
	labels := map[string]string{"app": name}
	e.createPod(t, namespace, name+"-0", labels)
	policy := &drainv1alpha1.KafkaDrainPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       drainv1alpha1.KafkaDrainPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: labels}},
	}
	policies := e.weir.DrainV1alpha1().KafkaDrainPolicies(namespace)
	policy, err := policies.Create(t.Context(), policy, metav1.CreateOptions{})
	require.NoError(t, err)
	return policy
}

// waitForWatches waits until n watches are open and the cache contains the pod of each policy.
func (e *env) waitForWatches(t *testing.T, n int32, policies []*drainv1alpha1.KafkaDrainPolicy) {
	t.Helper()
	testkit.Eventually(t, timeout, func(context.Context) error {
		if open := e.watches.Load(); open != n {
			return fmt.Errorf("%d watches are open, not %d", open, n)
		}
		for _, p := range policies {
			found, synced := e.Selected(p)
			if !synced || len(found) != 1 || found[0].Name != p.Name+"-0" {
				return fmt.Errorf("policy %s/%s: synced %v, pods %v", p.Namespace, p.Name, synced, found)
			}
		}
		return nil
	})
}

// The test is not parallel, because it counts the policies of all tests.
func TestManyPoliciesShareFewWatches(t *testing.T) {
	cp := testkit.Shared(t)
	e, ns := start(t, cp, ""), cp.Namespace(t)
	var policies []*drainv1alpha1.KafkaDrainPolicy
	add := func(namespace string) {
		policies = append(policies, e.createPolicy(t, namespace, fmt.Sprintf("kafka-%d", len(policies))))
	}
	remove := func(n int) {
		for _, p := range policies[:n] {
			client := e.weir.DrainV1alpha1().KafkaDrainPolicies(p.Namespace)
			require.NoError(t, client.Delete(t.Context(), p.Name, metav1.DeleteOptions{}))
		}
		policies = policies[n:]
	}
	for range 32 {
		add(ns)
	}
	e.waitForWatches(t, 1+32, policies) // one more for Strimzi's pods
	add(ns)
	e.waitForWatches(t, 1+1, policies)
	for range 32 {
		add(cp.Namespace(t))
	}
	e.waitForWatches(t, 1+1, policies)
	remove(2)
	e.waitForWatches(t, 1+1, policies)
	remove(31)
	e.waitForWatches(t, 1+32, policies)
	remove(len(policies))
}

func TestPodWithChangedLabelsIsReportedToBothPolicies(t *testing.T) {
	cp := testkit.Shared(t)
	ns := cp.Namespace(t)
	e := start(t, cp, ns)
	var policies []*drainv1alpha1.KafkaDrainPolicy
	for i := range 33 {
		policies = append(policies, e.createPolicy(t, ns, fmt.Sprintf("kafka-%d", i)))
	}
	e.waitForWatches(t, 1+1, policies)
	e.changed.Clear()
	patch := []byte(`{"metadata":{"labels":{"app":"kafka-1"}}}`)
	_, err := cp.Client().CoreV1().Pods(ns).Patch(t.Context(), "kafka-0-0", types.MergePatchType, patch,
		metav1.PatchOptions{})
	require.NoError(t, err)
	testkit.Eventually(t, timeout, func(context.Context) error {
		for i := range 2 {
			if _, changed := e.changed.Load(fmt.Sprintf("%s/kafka-%d", ns, i)); !changed {
				return fmt.Errorf("policy %d was not reported", i)
			}
			if found, synced := e.Selected(policies[i]); !synced || len(found) != 2*i {
				return fmt.Errorf("policy %d selects %v", i, found)
			}
		}
		return nil
	})
}
