package service_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"crypto/rand"
	"log/slog"
	"net"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/admission"
	"github.com/weir-dev/weir/pkg/testkit"
)

var strimziLabels = map[string]string{contract.StrimziKind: contract.StrimziKindKafka, contract.StrimziName: "my-cluster-kafka"}

// evict asks for the eviction of a pod as a drain does.
func (h *house) evict(ctx context.Context, namespace, name string, uid types.UID, dryRun ...string) error {
	options := &metav1.DeleteOptions{DryRun: dryRun}
	if uid != "" {
		options.Preconditions = &metav1.Preconditions{UID: &uid}
	}
	return h.Client().PolicyV1().Evictions(namespace).Evict(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, DeleteOptions: options})
}

func TestDrainsANodeInOneCommandAndSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	showLogs(t)
	h := install(t)
	ns := h.Namespace(t)
	h.nodes(t, 3)
	h.statefulSet(t, ns, "my-cluster-kafka", 2, strimziLabels)
	rolled := h.operator(t, ns, time.Second)
	pod := h.pod(t, ns, "my-cluster-kafka-1")

	began := time.Now()
	output, err := h.drain(t.Context(), pod.Spec.NodeName)
	t.Logf("after %s kubectl drain has printed:\n%s", time.Since(began).Round(time.Millisecond), output)
	require.NoError(t, err, "one command, without a second try")
	assert.Contains(t, output, "The pod will be rolled by the Strimzi Cluster Operator")
	assert.Contains(t, output, "will retry after 5s")
	assert.EqualValues(t, 1, rolled.Load())
	h.allReady(t, ns, "my-cluster-kafka", 2)
	assert.NotEqual(t, pod.UID, h.pod(t, ns, "my-cluster-kafka-1").UID)
}

// What Strimzi's Drain Cleaner answers: kubectl gives up.
func TestWithTheCode500KubectlWouldGiveUp(t *testing.T) {
	t.Parallel()
	h := install(t)
	ns := h.Namespace(t)
	h.nodes(t, 2)
	// No number at the end of the name: ours is not asked.
	h.statefulSet(t, ns, "other", 1, map[string]string{"app": "other"})
	c, err := admission.Rotate(admission.Certificates{}, []string{"localhost"}, nil, admission.Lifetimes{}, time.Now(), rand.Reader)
	require.NoError(t, err)
	var keeper admission.CertStore
	_, err = keeper.Update(c.Cert, c.Key)
	require.NoError(t, err)
	say := func(context.Context, admission.Request) admission.Response {
		return admission.Response{Code: http.StatusInternalServerError, Message: "The pod will be rolled by the Strimzi Cluster Operator"}
	}
	listening := make(chan net.Addr, 1)
	server := &admission.Server{Address: "127.0.0.1:0", CertStore: &keeper, Log: slog.New(slog.DiscardHandler), OnListen: func(a net.Addr) { listening <- a },
		Handler: admission.Handler(admission.Options{Review: say, Fallback: func(r admission.Request, _ error) admission.Response { return say(nil, r) }})}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() { cancel(); assert.NoError(t, <-done) })
	_, port, err := net.SplitHostPort((<-listening).String())
	require.NoError(t, err)
	url, none := "https://localhost:"+port+"/", admissionregistrationv1.SideEffectClassNone
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: ns}, Webhooks: []admissionregistrationv1.ValidatingWebhook{{
		Name: "old.weir.dev", ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: c.TrustBundle}, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
		Rules: []admissionregistrationv1.RuleWithOperations{{Operations: []admissionregistrationv1.OperationType{"CREATE"},
			Rule: admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods/eviction"}}}},
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: ns}},
	}}}
	_, err = h.Client().AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(t.Context(), configuration, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, h.Client().AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(context.Background(), ns, metav1.DeleteOptions{}))
	})
	testkit.Eventually(t, patience, func(ctx context.Context) error {
		if err := h.evict(ctx, ns, "other-0", "", metav1.DryRunAll); !apierrors.IsInternalError(err) {
			return fmt.Errorf("the webhook is not asked yet: %w", errors.Join(err))
		}
		return nil
	})
	began := time.Now()
	output, err := h.drain(t.Context(), h.pod(t, ns, "other-0").Spec.NodeName)
	took := time.Since(began)
	t.Logf("after %s kubectl drain has given up, and printed:\n%s", took.Round(time.Millisecond), output)
	require.Error(t, err)
	assert.NotContains(t, output, "will retry")
}

func TestAnswersEvictionsAsStrimzisSystemTestsWant(t *testing.T) {
	t.Parallel()
	showLogs(t)
	h := install(t)
	ns := h.Namespace(t)
	h.nodes(t, 2)
	h.statefulSet(t, ns, "my-cluster-kafka", 1, strimziLabels)
	h.statefulSet(t, ns, "db", 1, map[string]string{"app": "db"})
	pod := h.pod(t, ns, "my-cluster-kafka-0")
	annotated := func(ctx context.Context) error {
		p, err := h.Client().CoreV1().Pods(ns).Get(ctx, pod.Name, metav1.GetOptions{})
		if err == nil && p.Annotations[contract.ManualRollingUpdate] != "true" {
			err = errors.New("the pod is not annotated")
		}
		return err
	}

	err := h.evict(t.Context(), ns, pod.Name, "", metav1.DryRunAll)
	require.True(t, apierrors.IsTooManyRequests(err), "a dry run gets the answer: %v", err)
	_, wait := apierrors.SuggestsClientDelay(err)
	assert.False(t, wait, "retryAfterSeconds would make kubectl silent")
	err = h.evict(t.Context(), ns, pod.Name, "another")
	require.True(t, apierrors.IsConflict(err), "a wrong uid is the API server's to refuse: %v", err)
	require.ErrorContains(t, annotated(t.Context()), "not annotated", "neither annotates the pod")

	err = h.evict(t.Context(), ns, pod.Name, pod.UID)
	require.True(t, apierrors.IsTooManyRequests(err), "the right uid: %v", err)
	testkit.Eventually(t, patience, annotated)
	require.NoError(t, h.evict(t.Context(), ns, "db-0", ""), "a pod that is nobody's")

	events := func(ctx context.Context) error {
		all, err := h.Client().EventsV1().Events(ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, e := range all.Items {
			if e.Reason == "RollRequested" && e.Regarding.Name == pod.Name && e.Regarding.UID == pod.UID {
				return nil
			}
		}
		return errors.New("no event on the pod says why")
	}
	testkit.Eventually(t, patience, events)
}
