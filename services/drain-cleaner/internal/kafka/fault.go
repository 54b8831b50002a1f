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

// fault tells people what went wrong, and which Secret to look at. Errors of franz-go name hosts and what brokers said; they hold no
// secrets.
func fault(err error, spec drainv1alpha1.KafkaDrainPolicySpec) decide.Fault {
	if err == nil {
		return decide.Fault{}
	}
	if errors.Is(err, errSecret) {
		return decide.Fault{Reason: decide.KafkaSecretInvalid, Message: err.Error()}
	}
	if suspect := refused(err, spec); suspect != "" {
		return decide.Fault{Reason: decide.KafkaSecretInvalid, Message: suspect + ": " + err.Error()}
	}
	return decide.Fault{Reason: decide.KafkaUnreachable, Message: "Kafka does not answer: " + err.Error()}
}

// refused says what of a Secret the brokers do not take, or does not fit them; empty where it is something else.
func refused(err error, spec drainv1alpha1.KafkaDrainPolicySpec) string {
	var theirs *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var ours *net.OpError
	switch {
	case spec.SASL != nil && errors.Is(err, kerr.SaslAuthenticationFailed):
		return fmt.Sprintf("the brokers refuse the username and password of Secret %s", spec.SASL.Secret)
	case spec.TLS == nil:
		return ""
	case spec.TLS.CASecret != nil && errors.As(err, &theirs) && errors.As(err, &authority):
		return fmt.Sprintf("the brokers' certificate is signed by none of those in key %s of Secret %s", caKey(spec.TLS.CASecret), spec.TLS.CASecret.Name)
	// The brokers have ended the handshake, which is about the client's certificate or that there is none.
	case errors.As(err, &ours) && ours.Op == "remote error" && spec.TLS.ClientSecret != "":
		return fmt.Sprintf("the brokers refuse the certificate in key tls.crt of Secret %s", spec.TLS.ClientSecret)
	case errors.As(err, &ours) && ours.Op == "remote error":
		return "the brokers refuse a client without a certificate; name its Secret in spec.tls.clientSecret"
	}
	return ""
}
