package kafka_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	testkafka "github.com/weir-dev/weir/pkg/testkit/kafka"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// authority is a CA.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

// issue returns a certificate for 127.0.0.1 and its key in PEM.
func (a *authority) issue(name string) (cert, key []byte) {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, own.Public(), a.key)
	require.NoError(a.t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(own)
	require.NoError(a.t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

const (
	password      = "correct-password"
	wrongPassword = "wrong-password"
)

// startSecured runs a broker with two TLS listeners: sasl requires a password, and mtls a client certificate.
func startSecured(t *testing.T, a *authority) (sasl, mtls int) {
	t.Helper()
	testkafka.Require(t)
	dir := t.TempDir()
	cert, key := a.issue("broker")
	store, trusted := filepath.Join(dir, "store.pem"), filepath.Join(dir, "trusted.pem")
	require.NoError(t, os.WriteFile(store, append(key, cert...), 0o600))
	require.NoError(t, os.WriteFile(trusted, a.pem, 0o600))
	var ports [4]int
	for i := range ports {
		var err error
		ports[i], err = testkafka.FreePort()
		require.NoError(t, err)
	}
	scram := "=[name=drain,password=" + password + "]"
	node, err := testkafka.NewNode(t.Context(), dir, testkafka.NodeConfig{
		Name:       "secured",
		FormatArgs: []string{"--add-scram", "SCRAM-SHA-256" + scram, "--add-scram", "SCRAM-SHA-512" + scram},
		Properties: fmt.Sprintf(`process.roles=broker,controller
node.id=0
controller.quorum.voters=0@127.0.0.1:%[1]d
listeners=CONTROLLER://127.0.0.1:%[1]d,INTERNAL://127.0.0.1:%[2]d,LOGIN://127.0.0.1:%[3]d,MUTUAL://127.0.0.1:%[4]d
advertised.listeners=INTERNAL://127.0.0.1:%[2]d,LOGIN://127.0.0.1:%[3]d,MUTUAL://127.0.0.1:%[4]d
controller.listener.names=CONTROLLER
inter.broker.listener.name=INTERNAL
listener.security.protocol.map=CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT,LOGIN:SASL_SSL,MUTUAL:SSL
ssl.keystore.type=PEM
ssl.keystore.location=%[5]s
ssl.truststore.type=PEM
ssl.truststore.location=%[6]s
listener.name.mutual.ssl.client.auth=required
listener.name.login.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.login.plain.sasl.jaas.config=%[8]s.plain.PlainLoginModule required user_drain="%[7]s";
listener.name.login.scram-sha-256.sasl.jaas.config=%[8]s.scram.ScramLoginModule required;
listener.name.login.scram-sha-512.sasl.jaas.config=%[8]s.scram.ScramLoginModule required;
`, ports[0], ports[1], ports[2], ports[3], store, trusted, password, "org.apache.kafka.common.security"),
	})
	require.NoError(t, err)
	require.NoError(t, node.Start())
	t.Cleanup(func() { node.Stop(syscall.SIGKILL) })
	sasl, mtls = ports[2], ports[3]
	require.NoError(t, testkafka.Listening(t.Context(), sasl))
	require.NoError(t, testkafka.Listening(t.Context(), mtls))
	return sasl, mtls
}

type secrets map[string]map[string][]byte

func (s secrets) Secret(_ context.Context, _, name string) (map[string][]byte, error) {
	if data, ok := s[name]; ok {
		return data, nil
	}
	return nil, errors.New("not found")
}

func TestConnectsWithTLSAndSASLAndNamesTheRejectedSecret(t *testing.T) {
	t.Parallel()
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others")
	sasl, mtls := startSecured(t, ours)
	cert, key := ours.issue("drain")
	otherCert, otherKey := others.issue("drain")
	user := func(password string) map[string][]byte {
		return map[string][]byte{"username": []byte("drain"), "password": []byte(password)}
	}
	known := secrets{
		"ca": {"ca.crt": ours.pem}, "other-ca": {"ca.crt": others.pem}, "renamed-ca": {"authority.pem": ours.pem},
		"client": {"tls.crt": cert, "tls.key": key}, "other-client": {"tls.crt": otherCert, "tls.key": otherKey},
		"half-client": {"tls.crt": cert}, "user": user(password), "wrong-user": user(wrongPassword),
		"half-user": {"username": []byte("drain")},
	}
	trust := func(secret string, keys ...string) drainv1alpha1.TLS {
		ca := &drainv1alpha1.SecretKey{Name: secret}
		for _, key := range keys {
			ca.Key = key
		}
		return drainv1alpha1.TLS{CASecret: ca}
	}
	with := func(tls drainv1alpha1.TLS, client string) drainv1alpha1.TLS { tls.ClientSecret = client; return tls }
	as := func(mechanism, user string) *drainv1alpha1.SASL {
		return &drainv1alpha1.SASL{Mechanism: mechanism, Secret: user}
	}
	for name, test := range map[string]struct {
		port int
		tls  drainv1alpha1.TLS
		sasl *drainv1alpha1.SASL
		// message is part of the fault's message; empty if the connection succeeds.
		message string
	}{
		"SCRAM-SHA-512":      {port: sasl, tls: trust("ca"), sasl: as("SCRAM-SHA-512", "user")},
		"SCRAM-SHA-256":      {port: sasl, tls: trust("ca"), sasl: as("SCRAM-SHA-256", "user")},
		"PLAIN":              {port: sasl, tls: trust("renamed-ca", "authority.pem"), sasl: as("PLAIN", "user")},
		"client certificate": {port: mtls, tls: with(trust("ca"), "client")},
		"wrong password with SCRAM": {port: sasl, tls: trust("ca"), sasl: as("SCRAM-SHA-512", "wrong-user"),
			message: "the brokers reject the username and password of Secret wrong-user"},
		"wrong password with PLAIN": {port: sasl, tls: trust("ca"), sasl: as("PLAIN", "wrong-user"),
			message: "the brokers reject the username and password of Secret wrong-user"},
		"missing password": {port: sasl, tls: trust("ca"), sasl: as("PLAIN", "half-user"),
			message: "cannot use Secret half-user: key password is missing"},
		"missing Secret": {port: sasl, tls: trust("ca"), sasl: as("PLAIN", "absent"),
			message: "cannot use Secret absent: not found"},
		"brokers of another CA": {port: sasl, tls: trust("other-ca"), sasl: as("PLAIN", "user"),
			message: "the brokers' certificate is not signed by a CA in key ca.crt of Secret other-ca"},
		"missing CA": {port: sasl, tls: trust("renamed-ca"), sasl: as("PLAIN", "user"),
			message: "cannot use Secret renamed-ca: key ca.crt is missing"},
		"missing client key": {port: mtls, tls: with(trust("ca"), "half-client"),
			message: "cannot use Secret half-client: key tls.key is missing"},
		"client certificate of another CA": {port: mtls, tls: with(trust("ca"), "other-client"),
			message: "the brokers reject the certificate in key tls.crt of Secret other-client"},
		"no client certificate": {port: mtls, tls: trust("ca"),
			message: "the brokers require a client certificate; set spec.tls.clientSecret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clusters := newClusters(t, known, time.Millisecond)
			policy := newPolicy(fmt.Sprintf("127.0.0.1:%d", test.port))
			policy.UID, policy.Spec.TLS, policy.Spec.SASL = types.UID(name), &test.tls, test.sasl
			var fault decide.Fault
			// A broker that has just begun to listen does not answer yet.
			testkit.Eventually(t, timeout, func(ctx context.Context) error {
				var cluster *decide.Cluster
				cluster, fault = clusters.Query(ctx, policy, time.Now())
				if (cluster != nil) != (test.message == "") ||
					cluster == nil && fault.Reason != drainv1alpha1.ReasonKafkaSecretInvalid {
					return fmt.Errorf("%s: %s", fault.Reason, fault.Message)
				}
				return nil
			})
			assert.Contains(t, fault.Message, test.message)
			for _, secret := range []string{password, wrongPassword, "BEGIN"} {
				assert.NotContains(t, fault.Message, secret)
			}
		})
	}
}
