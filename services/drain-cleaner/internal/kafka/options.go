// Package kafka queries Kafka clusters with franz-go: live brokers, in-sync replicas and the KRaft quorum.
package kafka

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
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

const (
	// clientID is the Kafka client id.
	clientID = "weir-drain-cleaner"
	// requestTimeout limits one request to one broker. A review must be answered within seconds.
	requestTimeout = 2 * time.Second
)

// clientOptions returns the client options for a policy.
func clientOptions(
	ctx context.Context, o Options, p *drainv1alpha1.KafkaDrainPolicy,
) ([]kgo.Opt, error) {
	d := dialer{resolver: o.Resolver, namespace: p.Namespace, hasCA: p.Spec.TLS != nil && p.Spec.TLS.CASecret != nil,
		maxMetadata: o.MaxResponse}
	opts := []kgo.Opt{
		kgo.ClientID(clientID),
		kgo.SeedBrokers(parseServers(p.Spec.BootstrapServers)...),
		kgo.RequestTimeoutOverhead(requestTimeout),
		kgo.RetryTimeout(requestTimeout),
		kgo.ConnIdleTimeout(time.Minute),
		// limitedConn has smaller limits for most responses.
		kgo.BrokerMaxReadBytes(o.MaxResponse),
		kgo.FetchMaxBytes(min(o.MaxResponse, 1<<20)),
	}
	if p.Spec.TLS != nil {
		var err error
		if d.tls, err = tlsConfig(ctx, o.Secrets, p.Namespace, p.Spec.TLS); err != nil {
			return nil, err
		}
	}
	opts = append(opts, kgo.Dialer(d.dial))
	if p.Spec.SASL != nil {
		mechanism, err := saslMechanism(ctx, o.Secrets, p.Namespace, p.Spec.SASL)
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.SASL(mechanism))
	}
	return opts, nil
}

func parseServers(bootstrapServers string) []string {
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
		data, err := readSecret(ctx, secrets, namespace, t.CASecret.Name, key)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(data[key]) {
			return nil, fmt.Errorf("%w %s: key %s contains no PEM certificate", errSecret, t.CASecret.Name, key)
		}
	}
	if t.ClientSecret != "" {
		data, err := readSecret(ctx, secrets, namespace, t.ClientSecret, "tls.crt", "tls.key")
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(data["tls.crt"], data["tls.key"])
		if err != nil {
			// Errors of crypto/tls do not contain key material.
			return nil, fmt.Errorf("%w %s: parse tls.crt and tls.key: %w", errSecret, t.ClientSecret, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func caKey(s *drainv1alpha1.SecretKey) string { return cmp.Or(s.Key, "ca.crt") }

func saslMechanism(
	ctx context.Context, secrets Secrets, namespace string, s *drainv1alpha1.SASL,
) (sasl.Mechanism, error) {
	data, err := readSecret(ctx, secrets, namespace, s.Secret, "username", "password")
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
	return nil, fmt.Errorf("spec.sasl.mechanism %q must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", s.Mechanism)
}

// readSecret returns the data of a Secret, or an error if a key is missing.
func readSecret(
	ctx context.Context, secrets Secrets, namespace, name string, keys ...string,
) (map[string][]byte, error) {
	data, err := secrets.Secret(ctx, namespace, name)
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", errSecret, name, err)
	}
	for _, key := range keys {
		if len(data[key]) == 0 {
			return nil, fmt.Errorf("%w %s: key %s is missing", errSecret, name, key)
		}
	}
	return data, nil
}
