package integration_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/admission"
	"github.com/weir-dev/weir/pkg/testkit"

	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

func TestDrainCompletesInOneCommandAndPrintsWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	testenv.ShowLogs(t)
	env := testenv.Install(t)
	ns := env.Namespace(t)
	env.AddTestNodes(t, 3)
	env.StatefulSet(t, ns, "my-cluster-kafka", 2, testenv.StrimziLabels)
	rolled := env.StartOperator(t, ns, time.Second)
	pod := env.Pod(t, ns, "my-cluster-kafka-1")

	start := time.Now()
	output, err := env.Drain(t.Context(), pod.Spec.NodeName)
	t.Logf("kubectl drain printed within %s:\n%s", time.Since(start).Round(time.Millisecond), output)
	require.NoError(t, err, "one command completes the drain")
	assert.Contains(t, output, "The pod will be rolled by the Strimzi Cluster Operator")
	assert.Contains(t, output, "will retry after 5s")
	assert.EqualValues(t, 1, rolled.Load())
	env.WaitForReady(t, ns, "my-cluster-kafka", 2)
	assert.NotEqual(t, pod.UID, env.Pod(t, ns, "my-cluster-kafka-1").UID)
}

// Strimzi's Drain Cleaner denies with code 500. kubectl drain does not retry then.
func TestKubectlDrainGivesUpOnCode500(t *testing.T) {
	t.Parallel()
	env := testenv.Install(t)
	ns := env.Namespace(t)
	env.AddTestNodes(t, 2)
	env.StatefulSet(t, ns, "other", 1, map[string]string{"app": "other"})
	serve500(t, env, ns)
	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
		if err := env.Evict(ctx, ns, "other-0", "", metav1.DryRunAll); !apierrors.IsInternalError(err) {
			return fmt.Errorf("the webhook is not called: %w", errors.Join(err))
		}
		return nil
	})
	start := time.Now()
	output, err := env.Drain(t.Context(), env.Pod(t, ns, "other-0").Spec.NodeName)
	t.Logf("kubectl drain gave up within %s and printed:\n%s", time.Since(start).Round(time.Millisecond), output)
	require.Error(t, err)
	assert.NotContains(t, output, "will retry")
}

// serve500 runs a webhook that denies all evictions of the namespace with code 500.
func serve500(t *testing.T, env *testenv.Env, ns string) {
	t.Helper()
	now := time.Now()
	c, err := admission.Rotate(
		admission.Certificates{},
		[]string{"localhost"},
		nil,
		admission.Lifetimes{},
		now,
		rand.Reader,
	)
	require.NoError(t, err)
	var certs admission.CertStore
	_, err = certs.Update(c.Cert, c.Key)
	require.NoError(t, err)
	deny := func(context.Context, admission.Request) admission.Response {
		return admission.Response{
			Code: http.StatusInternalServerError, Message: "The pod will be rolled by the Strimzi Cluster Operator",
		}
	}
	listening := make(chan net.Addr, 1)
	server := &admission.Server{
		Address: "127.0.0.1:0", CertStore: &certs, Log: slog.New(slog.DiscardHandler),
		OnListen: func(a net.Addr) { listening <- a },
		Handler: admission.Handler(admission.Options{
			Review: deny, Fallback: func(r admission.Request, _ error) admission.Response { return deny(nil, r) },
		}),
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() { cancel(); assert.NoError(t, <-done) })
	_, port, err := net.SplitHostPort((<-listening).String())
	require.NoError(t, err)
	url, none := "https://localhost:"+port+"/", admissionregistrationv1.SideEffectClassNone
	configurations := env.Client().AdmissionregistrationV1().ValidatingWebhookConfigurations()
	_, err = configurations.Create(t.Context(), &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: ns},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "old.weir.dev", SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: c.TrustBundle},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{"CREATE"},
				Rule: admissionregistrationv1.Rule{
					APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods/eviction"},
				},
			}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: ns}},
		}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, configurations.Delete(context.Background(), ns, metav1.DeleteOptions{})) })
}

func TestAnswersEvictionsAsInStrimzisSystemTests(t *testing.T) {
	t.Parallel()
	testenv.ShowLogs(t)
	env := testenv.Install(t)
	ns := env.Namespace(t)
	env.AddTestNodes(t, 2)
	env.StatefulSet(t, ns, "my-cluster-kafka", 1, testenv.StrimziLabels)
	env.StatefulSet(t, ns, "db", 1, map[string]string{"app": "db"})
	pod := env.Pod(t, ns, "my-cluster-kafka-0")
	require.NoError(t, env.Cordon(t.Context(), pod.Spec.NodeName))
	annotated := func(ctx context.Context) error {
		p, err := env.Client().CoreV1().Pods(ns).Get(ctx, pod.Name, metav1.GetOptions{})
		if err == nil && p.Annotations[contract.ManualRollingUpdate] != "true" {
			err = errors.New("the pod is not annotated")
		}
		return err
	}

	err := env.Evict(t.Context(), ns, pod.Name, "", metav1.DryRunAll)
	require.True(t, apierrors.IsTooManyRequests(err), "a dry run gets the same answer: %v", err)
	_, wait := apierrors.SuggestsClientDelay(err)
	assert.False(t, wait, "with retryAfterSeconds kubectl prints no message")
	err = env.Evict(t.Context(), ns, pod.Name, "another")
	require.True(t, apierrors.IsConflict(err), "the API server rejects a wrong UID: %v", err)
	require.ErrorContains(t, annotated(t.Context()), "not annotated", "neither of them annotates the pod")

	err = env.Evict(t.Context(), ns, pod.Name, pod.UID)
	require.True(t, apierrors.IsTooManyRequests(err), "the correct UID: %v", err)
	testkit.Eventually(t, testenv.Timeout, annotated)
	require.NoError(t, env.Evict(t.Context(), ns, "db-0", ""), "a pod that is not protected")

	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
		events, err := env.Client().EventsV1().Events(ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Reason == "RollRequested" && e.Regarding.Name == pod.Name && e.Regarding.UID == pod.UID {
				return nil
			}
		}
		return errors.New("the pod has no event RollRequested")
	})
}
