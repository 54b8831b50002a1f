package integration_test

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
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"crypto/rand"
	"log/slog"
	"net"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/admission"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

func TestDrainsANodeInOneCommandAndSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	testenv.ShowLogs(t)
	env := testenv.Install(t)
	ns := env.Namespace(t)
	env.AddTestNodes(t, 3)
	env.StatefulSet(t, ns, "my-cluster-kafka", 2, testenv.StrimziLabels)
	rolled := env.StartOperator(t, ns, time.Second)
	pod := env.Pod(t, ns, "my-cluster-kafka-1")

	began := time.Now()
	output, err := env.Drain(t.Context(), pod.Spec.NodeName)
	t.Logf("after %s kubectl drain has printed:\n%s", time.Since(began).Round(time.Millisecond), output)
	require.NoError(t, err, "one command, without a second try")
	assert.Contains(t, output, "The pod will be rolled by the Strimzi Cluster Operator")
	assert.Contains(t, output, "will retry after 5s")
	assert.EqualValues(t, 1, rolled.Load())
	env.WaitForReady(t, ns, "my-cluster-kafka", 2)
	assert.NotEqual(t, pod.UID, env.Pod(t, ns, "my-cluster-kafka-1").UID)
}

// What Strimzi's Drain Cleaner answers: kubectl gives up.
func TestWithTheCode500KubectlWouldGiveUp(t *testing.T) {
	t.Parallel()
	env := testenv.Install(t)
	ns := env.Namespace(t)
	env.AddTestNodes(t, 2)
	// No number at the end of the name: ours is not asked.
	env.StatefulSet(t, ns, "other", 1, map[string]string{"app": "other"})
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
	_, err = env.Client().AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(t.Context(), configuration, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, env.Client().AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(context.Background(), ns, metav1.DeleteOptions{}))
	})
	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
		if err := env.Evict(ctx, ns, "other-0", "", metav1.DryRunAll); !apierrors.IsInternalError(err) {
			return fmt.Errorf("the webhook is not asked yet: %w", errors.Join(err))
		}
		return nil
	})
	began := time.Now()
	output, err := env.Drain(t.Context(), env.Pod(t, ns, "other-0").Spec.NodeName)
	took := time.Since(began)
	t.Logf("after %s kubectl drain has given up, and printed:\n%s", took.Round(time.Millisecond), output)
	require.Error(t, err)
	assert.NotContains(t, output, "will retry")
}

func TestAnswersEvictionsAsStrimzisSystemTestsWant(t *testing.T) {
	t.Parallel()
	testenv.ShowLogs(t)
	env := testenv.Install(t)
	ns := env.Namespace(t)
	env.AddTestNodes(t, 2)
	env.StatefulSet(t, ns, "my-cluster-kafka", 1, testenv.StrimziLabels)
	env.StatefulSet(t, ns, "db", 1, map[string]string{"app": "db"})
	pod := env.Pod(t, ns, "my-cluster-kafka-0")
	annotated := func(ctx context.Context) error {
		p, err := env.Client().CoreV1().Pods(ns).Get(ctx, pod.Name, metav1.GetOptions{})
		if err == nil && p.Annotations[contract.ManualRollingUpdate] != "true" {
			err = errors.New("the pod is not annotated")
		}
		return err
	}

	err := env.Evict(t.Context(), ns, pod.Name, "", metav1.DryRunAll)
	require.True(t, apierrors.IsTooManyRequests(err), "a dry run gets the answer: %v", err)
	_, wait := apierrors.SuggestsClientDelay(err)
	assert.False(t, wait, "retryAfterSeconds would make kubectl silent")
	err = env.Evict(t.Context(), ns, pod.Name, "another")
	require.True(t, apierrors.IsConflict(err), "a wrong uid is the API server's to refuse: %v", err)
	require.ErrorContains(t, annotated(t.Context()), "not annotated", "neither annotates the pod")

	err = env.Evict(t.Context(), ns, pod.Name, pod.UID)
	require.True(t, apierrors.IsTooManyRequests(err), "the right uid: %v", err)
	testkit.Eventually(t, testenv.Timeout, annotated)
	require.NoError(t, env.Evict(t.Context(), ns, "db-0", ""), "a pod that is nobody's")

	events := func(ctx context.Context) error {
		all, err := env.Client().EventsV1().Events(ns).List(ctx, metav1.ListOptions{})
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
	testkit.Eventually(t, testenv.Timeout, events)
}
