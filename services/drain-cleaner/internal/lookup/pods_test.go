package lookup_test

import (
	"context"
	"fmt"
	"io"
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

const patience = time.Minute

// watched is a Lookup whose watches of pods are counted.
type watched struct {
	*lookup.Lookup
	cp   *testkit.ControlPlane
	weir versioned.Interface
	open atomic.Int32
	told sync.Map
}

func (w *watched) RoundTrip(r *http.Request, next http.RoundTripper) (*http.Response, error) {
	response, err := next.RoundTrip(r)
	if err == nil && strings.HasSuffix(r.URL.Path, "/pods") && r.URL.Query().Get("watch") != "" {
		w.open.Add(1)
		response.Body = &closing{ReadCloser: response.Body, closed: func() { w.open.Add(-1) }}
	}
	return response, err
}

type closing struct {
	io.ReadCloser
	once   sync.Once
	closed func()
}

func (c *closing) Close() error {
	c.once.Do(c.closed)
	return c.ReadCloser.Close()
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// startWatched watches a namespace, or all where it is empty.
func startWatched(t *testing.T, cp *testkit.ControlPlane, namespace string) *watched {
	t.Helper()
	w := &watched{cp: cp}
	_, err := w.cp.ApplyFiles(t.Context(), "", "../../../../deploy/crds/drain.weir.dev/kafkadrainpolicies.yaml")
	require.NoError(t, err)
	w.weir, err = versioned.NewForConfig(w.cp.RESTConfig())
	require.NoError(t, err)
	connection := w.cp.RESTConfig()
	connection.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) { return w.RoundTrip(r, next) })
	})
	kube, err := kubernetes.NewForConfig(connection)
	require.NoError(t, err)
	w.Lookup, err = lookup.New(kube, w.weir, lookup.Permissions{Pods: true, Policies: true}, namespace, time.Now, func(policy cache.ObjectName) { w.told.Store(policy.String(), true) })
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	testkit.Eventually(t, patience, w.Synced)
	return w
}

// policy makes a policy with a pod that it selects.
func (w *watched) policy(t *testing.T, namespace, name string) *drainv1alpha1.KafkaDrainPolicy {
	t.Helper()
	labels := map[string]string{"app": name}
	_, err := w.cp.Client().CoreV1().Pods(namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name + "-0", Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "kafka", Image: "kafka"}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	p, err := w.weir.DrainV1alpha1().KafkaDrainPolicies(namespace).Create(t.Context(), &drainv1alpha1.KafkaDrainPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       drainv1alpha1.KafkaDrainPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: labels}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return p
}

// watches waits until there are so many, and each policy has just its pod.
func (w *watched) watches(t *testing.T, n int32, policies []*drainv1alpha1.KafkaDrainPolicy) {
	t.Helper()
	testkit.Eventually(t, patience, func(context.Context) error {
		if open := w.open.Load(); open != n {
			return fmt.Errorf("%d watches are open, not %d", open, n)
		}
		for _, p := range policies {
			if found, filled := w.Selected(p); !filled || len(found) != 1 || found[0].Name != p.Name+"-0" {
				return fmt.Errorf("policy %s/%s: %v of %v", p.Namespace, p.Name, filled, found)
			}
		}
		return nil
	})
}

// Not parallel: the policies of other tests would count too.
func TestManyPoliciesTakeFewWatches(t *testing.T) {
	cp := testkit.Shared(t)
	w, ns := startWatched(t, cp, ""), cp.Namespace(t)
	var policies []*drainv1alpha1.KafkaDrainPolicy
	add := func(namespace string) {
		policies = append(policies, w.policy(t, namespace, fmt.Sprintf("kafka-%d", len(policies))))
	}
	remove := func(n int) {
		for _, p := range policies[:n] {
			require.NoError(t, w.weir.DrainV1alpha1().KafkaDrainPolicies(p.Namespace).Delete(t.Context(), p.Name, metav1.DeleteOptions{}))
		}
		policies = policies[n:]
	}
	for range 32 {
		add(ns)
	}
	w.watches(t, 1+32, policies) // Strimzi's pods are one more
	add(ns)
	w.watches(t, 1+1, policies)
	for range 32 {
		add(w.cp.Namespace(t))
	}
	w.watches(t, 1+1, policies)
	remove(2)
	w.watches(t, 1+1, policies)
	remove(31)
	w.watches(t, 1+32, policies)
}

func TestAPodThatChangesHandsIsToldOfBothPolicies(t *testing.T) {
	cp := testkit.Shared(t)
	ns := cp.Namespace(t)
	w := startWatched(t, cp, ns)
	var policies []*drainv1alpha1.KafkaDrainPolicy
	for i := range 33 {
		policies = append(policies, w.policy(t, ns, fmt.Sprintf("kafka-%d", i)))
	}
	w.watches(t, 1+1, policies)
	w.told.Clear()
	_, err := w.cp.Client().CoreV1().Pods(ns).Patch(t.Context(), "kafka-0-0", types.MergePatchType, []byte(`{"metadata":{"labels":{"app":"kafka-1"}}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	testkit.Eventually(t, patience, func(context.Context) error {
		for i := range 2 {
			if _, told := w.told.Load(fmt.Sprintf("%s/kafka-%d", ns, i)); !told {
				return fmt.Errorf("policy %d has not been told of", i)
			}
			if found, filled := w.Selected(policies[i]); !filled || len(found) != 2*i {
				return fmt.Errorf("policy %d selects %v", i, found)
			}
		}
		return nil
	})
}
