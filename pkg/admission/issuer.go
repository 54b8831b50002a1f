package admission

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	admissionac "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	coreac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/pkg/timer"
)

// Keys of the certificate Secret besides tls.crt and tls.key.
const (
	keyCA        = "ca.crt"
	keyCAKey     = "ca.key"
	keyNextCA    = "next-ca.crt"
	keyNextCAKey = "next-ca.key"
	keyTrusted   = "trusted.crt"

	// annotationNextSince is the creation time of the next CA.
	annotationNextSince = "weir.dev/next-ca-since"
)

// Issuer creates and rotates the certificates of a webhook. It stores them in a Secret and writes the CAs that the API
// server must trust into a ValidatingWebhookConfiguration. Only the leader runs it; all replicas serve the certificate
// in the Secret.
type Issuer struct {
	Client kubernetes.Interface
	// FieldManager is the field manager of its writes, and the manager of the Secret in the label
	// app.kubernetes.io/managed-by.
	FieldManager string
	// Namespace and Secret name the certificate Secret.
	Namespace, Secret string
	// Labels of the Secret.
	Labels map[string]string
	// WebhookConfiguration is the ValidatingWebhookConfiguration whose webhooks get the caBundle; empty for none.
	WebhookConfiguration string
	// DNSNames of the serving certificate; the first is <service>.<namespace>.svc.
	DNSNames  []string
	Lifetimes Lifetimes
	// Interval is the time between two calls of Sync; the default is 30 s.
	Interval time.Duration
	Now      func() time.Time
	Log      *slog.Logger
}

// Run calls Sync until ctx ends. Errors are logged and retried after at most 1 s.
func (i *Issuer) Run(ctx context.Context) error {
	interval := i.Interval
	if interval == 0 {
		interval = 30 * time.Second
	}
	for ctx.Err() == nil {
		delay := interval
		if err := i.Sync(ctx); err != nil && ctx.Err() == nil {
			i.Log.Error("cannot sync the certificates; retrying", "error", err)
			delay = min(interval, time.Second)
		}
		timer.Sleep(ctx, delay)
	}
	return nil
}

// Sync writes the Secret and the webhook configuration if they are not up to date. A CA signs the serving certificate
// only after the webhook configuration contains it, so that the API server trusts every certificate that is served.
func (i *Issuer) Sync(ctx context.Context) error {
	secret, err := i.Client.CoreV1().Secrets(i.Namespace).Get(ctx, i.Secret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		secret, err = &corev1.Secret{}, nil
	}
	if err != nil {
		return fmt.Errorf("read Secret %s/%s: %w", i.Namespace, i.Secret, err)
	}
	configuration, err := i.configuration(ctx)
	if err != nil {
		return err
	}
	have := read(secret)
	want, err := Rotate(have, i.DNSNames, published(configuration), i.Lifetimes, i.Now(), rand.Reader)
	if err != nil {
		return err
	}
	if !want.Equal(have) {
		if err := i.write(ctx, secret, want); err != nil {
			return err
		}
		i.Log.Info("certificates written", "secret", i.Namespace+"/"+i.Secret, "nextCA", len(want.NextCA) > 0)
	}
	return i.publish(ctx, configuration, want.TrustBundle)
}

func (i *Issuer) configuration(ctx context.Context) (*admissionregistrationv1.ValidatingWebhookConfiguration, error) {
	if i.WebhookConfiguration == "" {
		return nil, nil
	}
	configuration, err := i.Client.AdmissionregistrationV1().
		ValidatingWebhookConfigurations().
		Get(ctx, i.WebhookConfiguration, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ValidatingWebhookConfiguration %s: %w", i.WebhookConfiguration, err)
	}
	return configuration, nil
}

// published returns the caBundle of the first webhook. All webhooks of the configuration have the same.
func published(configuration *admissionregistrationv1.ValidatingWebhookConfiguration) []byte {
	if configuration == nil || len(configuration.Webhooks) == 0 {
		return nil
	}
	return configuration.Webhooks[0].ClientConfig.CABundle
}

func (i *Issuer) publish(
	ctx context.Context,
	configuration *admissionregistrationv1.ValidatingWebhookConfiguration,
	trusted []byte,
) error {
	if configuration == nil {
		return nil
	}
	current := true
	want := admissionac.ValidatingWebhookConfiguration(i.WebhookConfiguration)
	for _, webhook := range configuration.Webhooks {
		current = current && bytes.Equal(webhook.ClientConfig.CABundle, trusted)
		want.WithWebhooks(admissionac.ValidatingWebhook().WithName(webhook.Name).
			WithClientConfig(admissionac.WebhookClientConfig().WithCABundle(trusted...)))
	}
	if current {
		return nil
	}
	configurations := i.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	if _, err := apply.Object(ctx, configurations, i.FieldManager, want); err != nil {
		return fmt.Errorf("apply the caBundle of ValidatingWebhookConfiguration %s: %w", i.WebhookConfiguration, err)
	}
	i.Log.Info("caBundle published", "configuration", i.WebhookConfiguration, "CAs", len(parseAll(trusted)))
	return nil
}

func read(s *corev1.Secret) Certificates {
	c := Certificates{
		CA: s.Data[keyCA], CAKey: s.Data[keyCAKey], NextCA: s.Data[keyNextCA], NextCAKey: s.Data[keyNextCAKey],
		TrustBundle: s.Data[keyTrusted], Cert: s.Data[corev1.TLSCertKey], Key: s.Data[corev1.TLSPrivateKeyKey],
	}
	// An invalid annotation means the zero time. The next CA is used only after the webhook configuration contains it.
	c.NextCreatedAt, _ = time.Parse(time.RFC3339Nano, s.Annotations[annotationNextSince])
	return c
}

// write fails if another client manages the Secret, for example cert-manager, and with a conflict if another client has
// written the Secret since it was read.
func (i *Issuer) write(ctx context.Context, from *corev1.Secret, c Certificates) error {
	if from.ResourceVersion != "" {
		if err := apply.CheckManaged("Secret", from, i.FieldManager); err != nil {
			return err
		}
	}
	want := coreac.Secret(i.Secret, i.Namespace).
		WithLabels(i.Labels).
		WithLabels(map[string]string{apply.LabelManagedBy: i.FieldManager}).
		WithType(corev1.SecretTypeTLS).
		WithData(map[string][]byte{
			keyCA: c.CA, keyCAKey: c.CAKey, keyTrusted: c.TrustBundle,
			corev1.TLSCertKey: c.Cert, corev1.TLSPrivateKeyKey: c.Key,
		})
	if from.ResourceVersion != "" {
		want.WithResourceVersion(from.ResourceVersion)
	}
	if len(c.NextCA) > 0 {
		want.WithData(map[string][]byte{keyNextCA: c.NextCA, keyNextCAKey: c.NextCAKey})
		want.WithAnnotations(map[string]string{annotationNextSince: c.NextCreatedAt.UTC().Format(time.RFC3339Nano)})
	}
	if _, err := apply.Object(ctx, i.Client.CoreV1().Secrets(i.Namespace), i.FieldManager, want); err != nil {
		return fmt.Errorf("apply Secret %s/%s: %w", i.Namespace, i.Secret, err)
	}
	return nil
}
