package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

	"github.com/twmb/franz-go/pkg/kerr"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// errSecret marks an error that is caused by a Secret of the policy. Errors that wrap it never contain values of the
// Secret.
var errSecret = errors.New("cannot use Secret")

// errResponse marks a response of Kafka that cannot be used.
var errResponse = errors.New("unexpected response")

// trustedPeerError is an error of a connection to a peer that is known to be a broker of the policy: it speaks the
// Kafka protocol, or its certificate is signed by the CA of the policy.
type trustedPeerError struct{ error }

func (e trustedPeerError) Unwrap() error { return e.error }

// fault converts an error to a message for the status of the policy. Users who can write policies must not learn from
// it which ports are open or which servers listen on them. Therefore the details of network and TLS errors are in the
// message only for trusted peers, and otherwise only in the log. No error contains values of Secrets.
func fault(err error, spec drainv1alpha1.KafkaDrainPolicySpec) decide.Fault {
	var trusted trustedPeerError
	var dns *net.DNSError
	var kafka *kerr.Error
	switch {
	case err == nil:
		return decide.Fault{}
	case errors.Is(err, errSecret):
		return decide.Fault{Reason: drainv1alpha1.ReasonKafkaSecretInvalid, Message: err.Error()}
	case spec.SASL != nil && errors.Is(err, kerr.SaslAuthenticationFailed):
		return decide.Fault{Reason: drainv1alpha1.ReasonKafkaSecretInvalid,
			Message: fmt.Sprintf("the brokers reject the username and password of Secret %s", spec.SASL.Secret)}
	case errors.As(err, &trusted):
		if message := rejectedCertificate(err, spec.TLS); message != "" {
			return decide.Fault{Reason: drainv1alpha1.ReasonKafkaSecretInvalid, Message: message}
		}
		return decide.Fault{
			Reason: drainv1alpha1.ReasonKafkaUnreachable, Message: "connect to the brokers: " + trusted.Error(),
		}
	case errors.As(err, &dns):
		return decide.Fault{Reason: drainv1alpha1.ReasonKafkaUnreachable,
			Message: fmt.Sprintf("cannot resolve the host %s of a broker: %s", dns.Name, dns.Err)}
	case errors.As(err, &kafka), errors.Is(err, errResponse):
		return decide.Fault{Reason: drainv1alpha1.ReasonKafkaUnreachable, Message: "query the brokers: " + err.Error()}
	}
	return decide.Fault{Reason: drainv1alpha1.ReasonKafkaUnreachable, Message: fmt.Sprintf(
		"no Kafka broker answers at %s; "+
			"check spec.bootstrapServers, spec.tls, the advertised listeners and network policies. "+
			"The log of drain-cleaner has the cause", spec.BootstrapServers)}
}

// rejectedCertificate describes a rejected certificate: that of the brokers or that of the client. It is empty for
// other errors.
func rejectedCertificate(err error, spec *drainv1alpha1.TLS) string {
	var authority x509.UnknownAuthorityError
	var alert *net.OpError
	isAlert := errors.As(err, &alert) && alert.Op == "remote error"
	switch {
	case spec == nil || spec.CASecret == nil:
		return ""
	case errors.As(err, &authority):
		return fmt.Sprintf("the brokers' certificate is not signed by a CA in key %s of Secret %s: %s",
			caKey(spec.CASecret), spec.CASecret.Name, authority.Error())
	case isAlert && spec.ClientSecret != "":
		return fmt.Sprintf("the brokers reject the certificate in key tls.crt of Secret %s: %s", spec.ClientSecret, alert.Err)
	case isAlert:
		return "the brokers require a client certificate; set spec.tls.clientSecret"
	}
	return ""
}

// isCertificateError reports whether the verification of the brokers' certificate failed.
func isCertificateError(err error) bool {
	var verification *tls.CertificateVerificationError
	return errors.As(err, &verification)
}
