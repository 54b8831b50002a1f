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
)

// Keys of an authority's Secret, beside tls.crt and tls.key.
const (
	keyCA        = "ca.crt"
	keyCAKey     = "ca.key"
	keyNextCA    = "next-ca.crt"
	keyNextCAKey = "next-ca.key"
	keyTrusted   = "trusted.crt"

	// annotationNextSince is when the next authority was made.
	annotationNextSince = "weir.dev/next-ca-since"
)

// Issuer keeps an authority's certificates in a Secret, and what clients are to trust in a ValidatingWebhookConfiguration.
// One replica at a time runs it; all of them serve what the Secret holds.
type Issuer struct {
	Client kubernetes.Interface
	// Manager is the field manager of what it writes.
	FieldManager string
	// Namespace and Secret hold the certificates.
	Namespace, Secret string
	// Labels of the Secret.
	Labels map[string]string
	// Configuration is the ValidatingWebhookConfiguration whose webhooks get the caBundle; none where empty.
	WebhookConfiguration string
	// Names that the serving certificate is for: <service>.<namespace>.svc first.
	DNSNames  []string
	Lifetimes Lifetimes
	// Every is the time between looks; 30 s where 0.
	Interval time.Duration
	Now      func() time.Time
	Log      *slog.Logger
}

// Run looks after the certificates until ctx ends. An error is logged, and tried again soon.
func (i *Issuer) Run(ctx context.Context) error {
	every := i.Interval
	if every == 0 {
		every = 30 * time.Second
	}
	for ctx.Err() == nil {
		pause := every
		if err := i.Sync(ctx); err != nil && ctx.Err() == nil {
			i.Log.Error("certificates are not in order, and will be looked at again", "error", err)
			pause = min(every, time.Second)
		}
		wait(ctx, pause)
	}
	return nil
}

// Once brings Secret and configuration to what they should be now. The configuration comes first where the Secret already holds
// what it should, so that no certificate is served that clients do not trust.
func (i *Issuer) Sync(ctx context.Context) error {
	secret, err := i.Client.CoreV1().Secrets(i.Namespace).Get(ctx, i.Secret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		secret, err = &corev1.Secret{}, nil
	}
	if err != nil {
		return fmt.Errorf("read secret %s/%s: %w", i.Namespace, i.Secret, err)
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
		i.Log.Info("certificates written", "secret", i.Namespace+"/"+i.Secret, "nextAuthority", len(want.NextCA) > 0)
	}
	return i.publish(ctx, configuration, want.TrustBundle)
}

func (i *Issuer) configuration(ctx context.Context) (*admissionregistrationv1.ValidatingWebhookConfiguration, error) {
	if i.WebhookConfiguration == "" {
		return nil, nil
	}
	configuration, err := i.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, i.WebhookConfiguration, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read webhook configuration %s: %w", i.WebhookConfiguration, err)
	}
	return configuration, nil
}

// published is what the first webhook of the configuration trusts; all of them get the same.
func published(configuration *admissionregistrationv1.ValidatingWebhookConfiguration) []byte {
	if configuration == nil || len(configuration.Webhooks) == 0 {
		return nil
	}
	return configuration.Webhooks[0].ClientConfig.CABundle
}

func (i *Issuer) publish(ctx context.Context, configuration *admissionregistrationv1.ValidatingWebhookConfiguration, trusted []byte) error {
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
	if _, err := apply.Object(ctx, i.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations(), i.FieldManager, want); err != nil {
		return fmt.Errorf("apply the caBundle of webhook configuration %s: %w", i.WebhookConfiguration, err)
	}
	i.Log.Info("caBundle published", "configuration", i.WebhookConfiguration, "authorities", len(parseAll(trusted)))
	return nil
}

func read(s *corev1.Secret) Certificates {
	c := Certificates{
		CA: s.Data[keyCA], CAKey: s.Data[keyCAKey], NextCA: s.Data[keyNextCA], NextCAKey: s.Data[keyNextCAKey],
		TrustBundle: s.Data[keyTrusted], Cert: s.Data[corev1.TLSCertKey], Key: s.Data[corev1.TLSPrivateKeyKey],
	}
	// An annotation that cannot be read counts as long ago; the next authority is not used before it is trusted anyway.
	c.NextCreatedAt, _ = time.Parse(time.RFC3339Nano, s.Annotations[annotationNextSince])
	return c
}

// write fails with a conflict where somebody else has written since the Secret was read.
func (i *Issuer) write(ctx context.Context, from *corev1.Secret, c Certificates) error {
	want := coreac.Secret(i.Secret, i.Namespace).WithLabels(i.Labels).WithType(corev1.SecretTypeTLS).WithData(map[string][]byte{
		keyCA: c.CA, keyCAKey: c.CAKey, keyTrusted: c.TrustBundle, corev1.TLSCertKey: c.Cert, corev1.TLSPrivateKeyKey: c.Key,
	})
	if from.ResourceVersion != "" {
		want.WithResourceVersion(from.ResourceVersion)
	}
	if len(c.NextCA) > 0 {
		want.WithData(map[string][]byte{keyNextCA: c.NextCA, keyNextCAKey: c.NextCAKey})
		want.WithAnnotations(map[string]string{annotationNextSince: c.NextCreatedAt.UTC().Format(time.RFC3339Nano)})
	}
	if _, err := apply.Object(ctx, i.Client.CoreV1().Secrets(i.Namespace), i.FieldManager, want); err != nil {
		return fmt.Errorf("apply secret %s/%s: %w", i.Namespace, i.Secret, err)
	}
	return nil
}
