package admission

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Files keeps the certificate of two files in use, for example those of a mounted Secret.
type CertFiles struct {
	// Cert and Key are the paths.
	Cert, Key string
	// Every is the time between looks; 2 s where 0.
	Interval  time.Duration
	CertStore *CertStore
	Log       *slog.Logger
}

// Run looks until ctx ends. What cannot be used is logged, and the certificate in use stays.
func (f *CertFiles) Run(ctx context.Context) error {
	every := f.Interval
	if every == 0 {
		every = 2 * time.Second
	}
	told := ""
	for ctx.Err() == nil {
		changed, err := f.Load()
		switch {
		case err != nil && err.Error() != told:
			told = err.Error()
			f.Log.Error("the certificate cannot be used", "error", err)
		case err == nil:
			told = ""
		}
		if changed {
			f.Log.Info("serving certificate loaded", "file", f.Cert, "notAfter", f.CertStore.NotAfter())
		}
		wait(ctx, every)
	}
	return nil
}

// Load looks once.
func (f *CertFiles) Load() (changed bool, err error) {
	cert, err := os.ReadFile(f.Cert)
	if err != nil {
		return false, fmt.Errorf("read the serving certificate: %w", err)
	}
	key, err := os.ReadFile(f.Key)
	if err != nil {
		return false, fmt.Errorf("read the serving certificate's key: %w", err)
	}
	return f.CertStore.Update(cert, key)
}

// Secret keeps the certificate of a Secret in use. It watches that one Secret, and needs get, list and watch of it alone.
type CertSecret struct {
	Client          kubernetes.Interface
	Namespace, Name string
	// CertKey and KeyKey are the Secret's keys; tls.crt and tls.key where empty.
	CertKey, KeyKey string
	CertStore       *CertStore
	Log             *slog.Logger
	// Changed is told of each certificate that is taken; optional.
	OnChange func()
}

// Run watches until ctx ends. A Secret that is deleted or cannot be used leaves the certificate in use as it is.
func (s *CertSecret) Run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(s.Client, 0, informers.WithNamespace(s.Namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", s.Name).String()
		}))
	informer := factory.Core().V1().Secrets().Informer()
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    s.take,
		UpdateFunc: func(_, after any) { s.take(after) },
		DeleteFunc: func(any) {
			s.Log.Warn("the Secret of the serving certificate is gone; the certificate stays in use", "secret", s.Namespace+"/"+s.Name)
		},
	}); err != nil {
		return fmt.Errorf("watch secret %s/%s: %w", s.Namespace, s.Name, err)
	}
	informer.RunWithContext(ctx)
	return nil
}

func (s *CertSecret) take(object any) {
	secret, ok := object.(*corev1.Secret)
	if !ok {
		return
	}
	certKey, keyKey := s.CertKey, s.KeyKey
	if certKey == "" {
		certKey = corev1.TLSCertKey
	}
	if keyKey == "" {
		keyKey = corev1.TLSPrivateKeyKey
	}
	changed, err := s.CertStore.Update(secret.Data[certKey], secret.Data[keyKey])
	if err != nil {
		s.Log.Error("the certificate cannot be used", "secret", s.Namespace+"/"+s.Name, "error", err)
		return
	}
	if changed {
		s.Log.Info("serving certificate loaded", "secret", s.Namespace+"/"+s.Name, "notAfter", s.CertStore.NotAfter())
		if s.OnChange != nil {
			s.OnChange()
		}
	}
}
