package integration_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/pkg/admission"
	"github.com/weir-dev/weir/pkg/testkit"
	draincleaner "github.com/weir-dev/weir/services/drain-cleaner/internal/app"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

// Certificates are valid for seconds, so the CA changes several times while evictions are requested without a pause and
// all replicas are replaced one after another, as in a rollout.
func TestNoEvictionIsMissedWhileCertificatesAndReplicasChange(t *testing.T) {
	t.Parallel()
	testenv.ShowLogs(t)
	shortLived := func(c *draincleaner.Config) {
		c.Lifetimes = admission.Lifetimes{CA: 16 * time.Second, Serving: 8 * time.Second, Overlap: 2 * time.Second}
		c.IssueEvery, c.ShutdownDelay = 200*time.Millisecond, time.Second
	}
	env, err := testenv.New(testkit.New(t, testkit.WithNodes(0)), shortLived)
	require.NoError(t, err)
	ns := env.Namespace(t)
	env.AddTestNodes(t, 1)
	env.StatefulSet(t, ns, "my-cluster-kafka", 1, testenv.StrimziLabels)
	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
		if err := env.Evict(ctx, ns, "my-cluster-kafka-0", ""); !apierrors.IsTooManyRequests(err) {
			return fmt.Errorf("not denied yet: %w", errors.Join(err))
		}
		return nil
	})
	pod := env.Pod(t, ns, "my-cluster-kafka-0")
	bundles := map[string]bool{}

	s := startEvictions(t, env, ns, "my-cluster-kafka-0")
	began := time.Now()
	for i := 0; time.Since(began) < 30*time.Second; i++ {
		stop, err := env.StartReplica(t.Context(), fmt.Sprintf("next-%d", i), shortLived)
		require.NoError(t, err)
		require.NoError(t, env.Stops[0]())
		env.Stops = append(env.Stops[1:], stop)
		c, err := env.Client().
			AdmissionregistrationV1().
			ValidatingWebhookConfigurations().
			Get(t.Context(), "weir-drain-cleaner", metav1.GetOptions{})
		require.NoError(t, err)
		bundles[string(c.Webhooks[0].ClientConfig.CABundle)] = true
	}
	s.stop()
	for _, stop := range env.Stops {
		assert.NoError(t, stop())
	}
	t.Logf(
		"%d evictions were denied, %d allowed, %d failed closed; %d CA bundles",
		s.denied.Load(),
		s.passed.Load(),
		s.failed.Load(),
		len(bundles),
	)
	assert.Zero(t, s.passed.Load(), "allowed evictions")
	assert.Greater(t, s.denied.Load(), int32(100))
	assert.GreaterOrEqual(t, len(bundles), 3)
	assert.Equal(t, pod.UID, env.Pod(t, ns, "my-cluster-kafka-0").UID)
}

func TestCertificateSecretOfAnotherClientIsNotOverwritten(t *testing.T) {
	t.Parallel()
	env := testenv.Install(t)
	issuer := &admission.Issuer{
		Client: env.Client(), FieldManager: decide.Manager, Namespace: env.Namespace(t), Secret: "tls",
		DNSNames: []string{"localhost"}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}
	secrets := env.Client().CoreV1().Secrets(issuer.Namespace)
	foreign := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "tls"}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{"tls.crt": []byte("certificate"), "tls.key": []byte("key")},
	}
	_, err := secrets.Create(t.Context(), foreign, metav1.CreateOptions{FieldManager: "cert-manager"})
	require.NoError(t, err)

	err = issuer.Sync(t.Context())
	require.EqualError(t, err, `Secret "tls" exists and is not managed by drain-cleaner (owner: cert-manager); `+
		`rename or delete it`)
	after, err := secrets.Get(t.Context(), "tls", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, foreign.Data, after.Data)

	require.NoError(t, secrets.Delete(t.Context(), "tls", metav1.DeleteOptions{}))
	require.NoError(t, issuer.Sync(t.Context()))
	own, err := secrets.Get(t.Context(), "tls", metav1.GetOptions{})
	require.NoError(t, err)
	own.Data["tls.crt"] = []byte("invalid")
	_, err = secrets.Update(t.Context(), own, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.NoError(t, issuer.Sync(t.Context()), "its own Secret is repaired")
}
