package integration_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

// The namespace and the name of the Secret are Strimzi's defaults, because the variables are not set. The keys are in
// another order than Strimzi's default.
func TestChangedCertificateOfStrimzisDefaultSecretIsServedWithoutARestart(t *testing.T) {
	t.Parallel()
	const ns = "strimzi-drain-cleaner"
	env, err := testenv.NewEmpty(t.Context(), testkit.Shared(t))
	require.NoError(t, err)
	_, err = env.Client().CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, env.DeleteNamespace(context.Background(), ns)) })
	webhook := freePort(t)
	kubeconfig := applyStrimzis(t, env, ns, "get, list, watch, patch", webhook)
	p := startProgram(t, kubeconfig, webhook, freePort(t), []string{
		"STRIMZI_CERTIFICATE_WATCH_ENABLED=Yes",
		"STRIMZI_CERTIFICATE_WATCH_POD_NAME=strimzi-drain-cleaner-0",
		"STRIMZI_CERTIFICATE_WATCH_SECRET_KEYS=tls.key,tls.crt",
	})
	waitForServed := func(certificate string) {
		t.Helper()
		block, _ := pem.Decode([]byte(certificate))
		require.NotNil(t, block)
		testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
			if err := p.fault(); err != nil {
				return testkit.Permanent(err)
			}
			dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
			conn, err := dialer.DialContext(ctx, "tcp", "127.0.0.1:"+webhook)
			if err != nil {
				return err
			}
			defer conn.Close()
			served := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
			if string(served.Raw) != string(block.Bytes) {
				return errors.New("another certificate is served")
			}
			return nil
		})
	}
	secrets := env.Client().CoreV1().Secrets(ns)
	secret, err := secrets.Get(t.Context(), ns, metav1.GetOptions{})
	require.NoError(t, err)
	waitForServed(string(secret.Data["tls.crt"]))

	next := newCertificate(t)
	secret.Data["tls.crt"], secret.Data["tls.key"] = next.Cert, next.Key
	_, err = secrets.Update(t.Context(), secret, metav1.UpdateOptions{})
	require.NoError(t, err)
	waitForServed(string(next.Cert))
	assert.NoError(t, p.fault(), "the same process serves it")
}
