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

// fault converts an error to a message for users. Errors of franz-go contain host names and broker responses, but no
// secrets.
func fault(err error, spec drainv1alpha1.KafkaDrainPolicySpec) decide.Fault {
	if err == nil {
		return decide.Fault{}
	}
	if errors.Is(err, errSecret) {
		return decide.Fault{Reason: decide.KafkaSecretInvalid, Message: err.Error()}
	}
	if cause := rejectedSecret(err, spec); cause != "" {
		return decide.Fault{Reason: decide.KafkaSecretInvalid, Message: cause + ": " + err.Error()}
	}
	return decide.Fault{Reason: decide.KafkaUnreachable, Message: "query the brokers: " + err.Error()}
}

// rejectedSecret describes the credentials that the brokers reject, or the CA that did not sign the brokers'
// certificates. It is empty for other errors.
func rejectedSecret(err error, spec drainv1alpha1.KafkaDrainPolicySpec) string {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var alert *net.OpError
	switch {
	case spec.SASL != nil && errors.Is(err, kerr.SaslAuthenticationFailed):
		return fmt.Sprintf("the brokers reject the username and password of Secret %s", spec.SASL.Secret)
	case spec.TLS == nil:
		return ""
	case spec.TLS.CASecret != nil && errors.As(err, &verification) && errors.As(err, &authority):
		return fmt.Sprintf("the brokers' certificate is not signed by a CA in key %s of Secret %s",
			caKey(spec.TLS.CASecret), spec.TLS.CASecret.Name)
	// A TLS alert from the brokers during the handshake: they require another client certificate, or one at all.
	case errors.As(err, &alert) && alert.Op == "remote error" && spec.TLS.ClientSecret != "":
		return fmt.Sprintf("the brokers reject the certificate in key tls.crt of Secret %s", spec.TLS.ClientSecret)
	case errors.As(err, &alert) && alert.Op == "remote error":
		return "the brokers require a client certificate; set spec.tls.clientSecret"
	}
	return ""
}
