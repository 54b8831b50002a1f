// Package kafka looks at Kafka clusters through franz-go: who is alive, which replicas are in sync, what the KRaft quorum says.
package kafka

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
)

// Secrets reads the data of a Secret.
type Secrets interface {
	Secret(ctx context.Context, namespace, name string) (map[string][]byte, error)
}

// errSecret marks that a Secret of the policy is at fault. What is wrapped in it never holds a value of the Secret.
var errSecret = errors.New("secret cannot be used")

// requestTimeout bounds one request to one broker; a review has to be answered within seconds.
const requestTimeout = 2 * time.Second

// options are how the client of a policy connects.
func options(ctx context.Context, secrets Secrets, resolver Resolver, p *drainv1alpha1.KafkaDrainPolicy) ([]kgo.Opt, error) {
	connecting := dialer{resolver: resolver, namespace: p.Namespace}
	opts := []kgo.Opt{
		kgo.ClientID("weir-drain-cleaner"),
		kgo.SeedBrokers(seeds(p.Spec.BootstrapServers)...),
		kgo.RequestTimeoutOverhead(requestTimeout),
		kgo.RetryTimeout(requestTimeout),
		kgo.ConnIdleTimeout(time.Minute),
	}
	if p.Spec.TLS != nil {
		var err error
		if connecting.tls, err = tlsConfig(ctx, secrets, p.Namespace, p.Spec.TLS); err != nil {
			return nil, err
		}
	}
	opts = append(opts, kgo.Dialer(connecting.dial))
	if p.Spec.SASL != nil {
		mechanism, err := login(ctx, secrets, p.Namespace, p.Spec.SASL)
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.SASL(mechanism))
	}
	return opts, nil
}

func seeds(bootstrapServers string) []string {
	var all []string
	for server := range strings.SplitSeq(bootstrapServers, ",") {
		if server = strings.TrimSpace(server); server != "" {
			all = append(all, server)
		}
	}
	return all
}

func tlsConfig(ctx context.Context, secrets Secrets, namespace string, t *drainv1alpha1.TLS) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CASecret != nil {
		key := caKey(t.CASecret)
		data, err := read(ctx, secrets, namespace, t.CASecret.Name, key)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(data[key]) {
			return nil, fmt.Errorf("%w: key %s of Secret %s holds no certificate in PEM", errSecret, key, t.CASecret.Name)
		}
	}
	if t.ClientSecret != "" {
		data, err := read(ctx, secrets, namespace, t.ClientSecret, "tls.crt", "tls.key")
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(data["tls.crt"], data["tls.key"])
		if err != nil {
			// The error of crypto/tls names what is wrong, and nothing of the key.
			return nil, fmt.Errorf("%w: tls.crt and tls.key of Secret %s: %w", errSecret, t.ClientSecret, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func caKey(s *drainv1alpha1.SecretKey) string { return cmp.Or(s.Key, "ca.crt") }

func login(ctx context.Context, secrets Secrets, namespace string, s *drainv1alpha1.SASL) (sasl.Mechanism, error) {
	data, err := read(ctx, secrets, namespace, s.Secret, "username", "password")
	if err != nil {
		return nil, err
	}
	user, password := string(data["username"]), string(data["password"])
	switch s.Mechanism {
	case "PLAIN":
		return plain.Auth{User: user, Pass: password}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: user, Pass: password}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: user, Pass: password}.AsSha512Mechanism(), nil
	}
	return nil, fmt.Errorf("%w: spec.sasl.mechanism %s is none of PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512", errSecret, s.Mechanism)
}

// read gives a Secret that has all the keys.
func read(ctx context.Context, secrets Secrets, namespace, name string, keys ...string) (map[string][]byte, error) {
	data, err := secrets.Secret(ctx, namespace, name)
	if err != nil {
		return nil, fmt.Errorf("%w: read Secret %s: %w", errSecret, name, err)
	}
	for _, key := range keys {
		if len(data[key]) == 0 {
			return nil, fmt.Errorf("%w: Secret %s has no key %s", errSecret, name, key)
		}
	}
	return data, nil
}
