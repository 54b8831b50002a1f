package admission

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/weir-dev/weir/pkg/timer"
)

// CertFiles loads the serving certificate from two files, for example of a mounted Secret, and reloads it after
// changes.
type CertFiles struct {
	// Cert and Key are the paths of the PEM files.
	Cert, Key string
	// Interval is the time between reads; the default is 2 s.
	Interval  time.Duration
	CertStore *CertStore
	Log       *slog.Logger
}

// Run reads the files until ctx ends. Invalid files are logged, and the current certificate stays in use.
func (f *CertFiles) Run(ctx context.Context) error {
	every := f.Interval
	if every == 0 {
		every = 2 * time.Second
	}
	logged := ""
	for ctx.Err() == nil {
		changed, err := f.Load()
		switch {
		case err != nil && err.Error() != logged:
			logged = err.Error()
			f.Log.Error("cannot load the serving certificate", "error", err)
		case err == nil:
			logged = ""
		}
		if changed {
			f.Log.Info("serving certificate loaded", "file", f.Cert, "notAfter", f.CertStore.NotAfter())
		}
		timer.Sleep(ctx, every)
	}
	return nil
}

// Load reads the files once and reports whether the certificate changed.
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

// CertSecret loads the serving certificate from a Secret and follows its changes. It needs the rights get, list and
// watch for that Secret only.
type CertSecret struct {
	Client          kubernetes.Interface
	Namespace, Name string
	// CertKey and KeyKey are keys of the Secret's data; the defaults are tls.crt and tls.key.
	CertKey, KeyKey string
	CertStore       *CertStore
	Log             *slog.Logger
	// OnChange is called after each change of the certificate; optional.
	OnChange func()
}

// Run watches the Secret until ctx ends. If it is deleted or invalid, the current certificate stays in use.
func (s *CertSecret) Run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(s.Client, 0, informers.WithNamespace(s.Namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", s.Name).String()
		}))
	informer := factory.Core().V1().Secrets().Informer()
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    s.load,
		UpdateFunc: func(_, after any) { s.load(after) },
		DeleteFunc: func(any) {
			s.Log.Warn("the Secret of the serving certificate was deleted; the current certificate stays in use",
				"secret", s.Namespace+"/"+s.Name)
		},
	}); err != nil {
		return fmt.Errorf("watch secret %s/%s: %w", s.Namespace, s.Name, err)
	}
	informer.RunWithContext(ctx)
	return nil
}

func (s *CertSecret) load(object any) {
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
		s.Log.Error("cannot load the serving certificate", "secret", s.Namespace+"/"+s.Name, "error", err)
		return
	}
	if changed {
		s.Log.Info("serving certificate loaded", "secret", s.Namespace+"/"+s.Name, "notAfter", s.CertStore.NotAfter())
		if s.OnChange != nil {
			s.OnChange()
		}
	}
}
