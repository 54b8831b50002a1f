package broker_test

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
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	look "github.com/weir-dev/weir/services/drain-cleaner/internal/kafka"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
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

// issue makes a certificate for this machine's own address and its key, both in PEM.
func (a *authority) issue(name string) (cert, key []byte) {
	a.t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, own.Public(), a.key)
	require.NoError(a.t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(own)
	require.NoError(a.t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

const (
	secret      = "never-to-be-shown"
	wrongSecret = "neither-is-this"
)

// startSecured runs a broker that asks for a login at one port and for the client's certificate at the other, over TLS.
func startSecured(t *testing.T, a *authority) (login, mutual int) {
	t.Helper()
	dir := t.TempDir()
	cert, key := a.issue("broker")
	store, trusted := filepath.Join(dir, "store.pem"), filepath.Join(dir, "trusted.pem")
	require.NoError(t, os.WriteFile(store, append(key, cert...), 0o600))
	require.NoError(t, os.WriteFile(trusted, a.pem, 0o600))
	inside, controller := freePort(t), freePort(t)
	login, mutual = freePort(t), freePort(t)
	node := newNode(t, jars(t), dir, "secured", fmt.Sprintf(`process.roles=broker,controller
node.id=0
controller.quorum.voters=0@127.0.0.1:%[1]d
listeners=CONTROLLER://127.0.0.1:%[1]d,INSIDE://127.0.0.1:%[2]d,LOGIN://127.0.0.1:%[3]d,MUTUAL://127.0.0.1:%[4]d
advertised.listeners=INSIDE://127.0.0.1:%[2]d,LOGIN://127.0.0.1:%[3]d,MUTUAL://127.0.0.1:%[4]d
controller.listener.names=CONTROLLER
inter.broker.listener.name=INSIDE
listener.security.protocol.map=CONTROLLER:PLAINTEXT,INSIDE:PLAINTEXT,LOGIN:SASL_SSL,MUTUAL:SSL
ssl.keystore.type=PEM
ssl.keystore.location=%[5]s
ssl.truststore.type=PEM
ssl.truststore.location=%[6]s
listener.name.mutual.ssl.client.auth=required
listener.name.login.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_drain="%[7]s";
listener.name.login.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.login.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
`, controller, inside, login, mutual, store, trusted, secret),
		"--add-scram", "SCRAM-SHA-256=[name=drain,password="+secret+"]", "--add-scram", "SCRAM-SHA-512=[name=drain,password="+secret+"]")
	node.start()
	listening(t, login)
	listening(t, mutual)
	return login, mutual
}

type secrets map[string]map[string][]byte

func (s secrets) Secret(_ context.Context, _, name string) (map[string][]byte, error) {
	if data, ok := s[name]; ok {
		return data, nil
	}
	return nil, errors.New("not found")
}

func TestLogsInToBrokersAndSaysWhichSecretTheyRefuse(t *testing.T) {
	t.Parallel()
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others")
	login, mutual := startSecured(t, ours)
	cert, key := ours.issue("drain")
	otherCert, otherKey := others.issue("drain")
	known := secrets{
		"ca": {"ca.crt": ours.pem}, "other-ca": {"ca.crt": others.pem}, "renamed-ca": {"authority.pem": ours.pem},
		"client": {"tls.crt": cert, "tls.key": key}, "other-client": {"tls.crt": otherCert, "tls.key": otherKey}, "half-client": {"tls.crt": cert},
		"user": {"username": []byte("drain"), "password": []byte(secret)}, "wrong-user": {"username": []byte("drain"), "password": []byte(wrongSecret)},
		"half-user": {"username": []byte("drain")},
	}
	trust := func(name string) drainv1alpha1.TLS {
		return drainv1alpha1.TLS{CASecret: &drainv1alpha1.SecretKey{Name: name}}
	}
	with := func(tls drainv1alpha1.TLS, client string) drainv1alpha1.TLS { tls.ClientSecret = client; return tls }
	as := func(mechanism, user string) *drainv1alpha1.SASL {
		return &drainv1alpha1.SASL{Mechanism: mechanism, Secret: user}
	}
	renamed := trust("renamed-ca")
	renamed.CASecret.Key = "authority.pem"
	for name, test := range map[string]struct {
		port int
		tls  drainv1alpha1.TLS
		sasl *drainv1alpha1.SASL
		// says is in the condition where Kafka is not reached.
		says string
	}{
		"SCRAM-SHA-512":                    {port: login, tls: trust("ca"), sasl: as("SCRAM-SHA-512", "user")},
		"SCRAM-SHA-256":                    {port: login, tls: trust("ca"), sasl: as("SCRAM-SHA-256", "user")},
		"PLAIN":                            {port: login, tls: renamed, sasl: as("PLAIN", "user")},
		"a client's certificate":           {port: mutual, tls: with(trust("ca"), "client")},
		"a wrong password with SCRAM":      {port: login, tls: trust("ca"), sasl: as("SCRAM-SHA-512", "wrong-user"), says: "the brokers refuse the username and password of Secret wrong-user"},
		"a wrong password with PLAIN":      {port: login, tls: trust("ca"), sasl: as("PLAIN", "wrong-user"), says: "the brokers refuse the username and password of Secret wrong-user"},
		"no password":                      {port: login, tls: trust("ca"), sasl: as("PLAIN", "half-user"), says: "Secret half-user has no key password"},
		"no Secret":                        {port: login, tls: trust("ca"), sasl: as("PLAIN", "nobody"), says: "read Secret nobody: not found"},
		"brokers signed by somebody else":  {port: login, tls: trust("other-ca"), sasl: as("PLAIN", "user"), says: "the brokers' certificate is signed by none of those in key ca.crt of Secret other-ca"},
		"no authority":                     {port: login, tls: trust("renamed-ca"), sasl: as("PLAIN", "user"), says: "Secret renamed-ca has no key ca.crt"},
		"no key of the client":             {port: mutual, tls: with(trust("ca"), "half-client"), says: "Secret half-client has no key tls.key"},
		"a client signed by somebody else": {port: mutual, tls: with(trust("ca"), "other-client"), says: "the brokers refuse the certificate in key tls.crt of Secret other-client"},
		"a client without a certificate":   {port: mutual, tls: trust("ca"), says: "name its Secret in spec.tls.clientSecret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clusters := look.New(look.Options{Secrets: known, MaxAge: time.Millisecond, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- clusters.Run(ctx) }()
			t.Cleanup(func() { cancel(); assert.NoError(t, <-done) })
			policy := &drainv1alpha1.KafkaDrainPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "kafka", Name: "p", UID: types.UID(name), Generation: 1}}
			policy.Spec = drainv1alpha1.KafkaDrainPolicySpec{Mode: drainv1alpha1.ModeSelfCheck, BootstrapServers: fmt.Sprintf("127.0.0.1:%d", test.port), TLS: &test.tls, SASL: test.sasl}
			status, reason := metav1.ConditionTrue, string(decide.KafkaAnswers)
			if test.says != "" {
				status, reason = metav1.ConditionFalse, string(decide.KafkaSecretInvalid)
			}
			var found metav1.Condition
			// A broker that has just begun to listen does not answer yet.
			testkit.Eventually(t, 90*time.Second, func(ctx context.Context) error {
				cluster, fault := clusters.Query(ctx, policy, time.Now())
				plan := decide.Status(decide.PolicyState{Policy: policy, Kafka: cluster != nil, Fault: fault}, time.Now())
				found = *meta.FindStatusCondition(plan.Status.Conditions, drainv1alpha1.ConditionKafkaReachable)
				if found.Status != status || found.Reason != reason {
					return fmt.Errorf("%s %s: %s", found.Status, found.Reason, found.Message)
				}
				return nil
			})
			t.Log(found.Message)
			assert.Contains(t, found.Message, test.says)
			for _, never := range []string{secret, wrongSecret, "BEGIN"} {
				assert.NotContains(t, found.Message, never)
			}
		})
	}
}
