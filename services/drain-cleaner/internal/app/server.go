package app

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/admission"
	"github.com/weir-dev/weir/pkg/app"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/webhook"
)

// maxReviewBytes is the largest request body. A review of an Eviction takes a few KiB.
const maxReviewBytes = 1 << 20

// server returns the task that serves reviews.
func (s *service) server(w *webhook.Webhook, metrics *webhook.Metrics) (app.Runnable, error) {
	mux := http.NewServeMux()
	mux.Handle(webhook.Path, admission.Handler(admission.Options{
		Immediate: w.Immediate, Review: w.Review, Fallback: w.Fallback, MaxBodyBytes: maxReviewBytes,
		Deadline: s.config.ReviewDeadline,
		Log:      s.env.Log, OnReject: metrics.Refused,
	}))
	server := &admission.Server{
		Address: s.config.WebhookAddress, Handler: mux, CertStore: &s.certs, ShutdownDelay: s.config.ShutdownDelay,
		Log: s.env.Log, OnListen: s.listening,
	}
	if s.config.ClientCAFile != "" {
		pem, err := os.ReadFile(s.config.ClientCAFile)
		if err != nil {
			return nil, fmt.Errorf("--client-ca-file=%q: %w", s.config.ClientCAFile, err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--client-ca-file=%q: contains no PEM certificate", s.config.ClientCAFile)
		}
		server.ClientCAs = func() *x509.CertPool { return pool }
	}
	return server.Run, nil
}

// certificates returns the task that loads the serving certificate, and the leader's tasks that issue it.
func (s *service) certificates() (load app.Runnable, issue []app.Runnable) {
	c := s.config
	secret := &admission.CertSecret{
		Client: s.env.Client, Namespace: c.SecretNamespace, Name: c.SecretName,
		CertKey: c.SecretCertKey, KeyKey: c.SecretKeyKey, CertStore: &s.certs, Log: s.env.Log,
	}
	files := &admission.CertFiles{
		Cert: filepath.Join(c.CertificateDir, "tls.crt"), Key: filepath.Join(c.CertificateDir, "tls.key"),
		CertStore: &s.certs, Log: s.env.Log,
	}
	switch c.CertificateSource {
	case CertificateFiles:
		return files.Run, nil
	case CertificateSecret:
		// If the Secret is mounted too, the certificate is there before the API server answers.
		_, _ = files.Load()
		return secret.Run, nil
	}
	issuer := &admission.Issuer{
		Client: s.env.Client, FieldManager: decide.Manager, Namespace: c.SecretNamespace, Secret: c.SecretName,
		WebhookConfiguration: c.WebhookConfiguration, DNSNames: c.CertificateNames(),
		Lifetimes: c.Lifetimes, Interval: c.IssueEvery,
		Labels: map[string]string{contract.LabelPartOf: contract.PartOf, contract.LabelName: decide.Manager},
		Now:    s.env.Now, Log: s.env.Log,
	}
	return secret.Run, []app.Runnable{issuer.Run}
}
