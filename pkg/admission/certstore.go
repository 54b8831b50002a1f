package admission

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// ErrNoCertificate is given to clients until there is a certificate.
var ErrNoCertificate = errors.New("there is no serving certificate yet")

// Keeper holds the serving certificate, and changes it without a connection being lost. The zero value has none.
type CertStore struct{ current atomic.Pointer[pair] }

type pair struct {
	certificate tls.Certificate
	cert, key   []byte
}

// Use takes a certificate chain and its key, in PEM, and tells whether they differ from those in use. With an error, which never
// holds any of the key, the one in use stays.
func (k *CertStore) Update(cert, key []byte) (changed bool, err error) {
	if old := k.current.Load(); old != nil && bytes.Equal(old.cert, cert) && bytes.Equal(old.key, key) {
		return false, nil
	}
	certificate, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return false, fmt.Errorf("read the serving certificate: %w", err)
	}
	k.current.Store(&pair{certificate: certificate, cert: bytes.Clone(cert), key: bytes.Clone(key)})
	return true, nil
}

// GetCertificate is for tls.Config.
func (k *CertStore) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p := k.current.Load()
	if p == nil {
		return nil, ErrNoCertificate
	}
	return &p.certificate, nil
}

// NotAfter is when the certificate expires; zero while there is none.
func (k *CertStore) NotAfter() time.Time {
	p := k.current.Load()
	if p == nil {
		return time.Time{}
	}
	return p.certificate.Leaf.NotAfter
}

// Ready is nil while there is a certificate that is valid for longer than margin: a replica whose certificate is about to expire
// leaves its place to others.
func (k *CertStore) Ready(now time.Time, margin time.Duration) error {
	p := k.current.Load()
	switch {
	case p == nil:
		return ErrNoCertificate
	case now.Before(p.certificate.Leaf.NotBefore):
		return fmt.Errorf("the serving certificate is not valid before %s", p.certificate.Leaf.NotBefore.UTC().Format(time.RFC3339))
	case !now.Add(margin).Before(p.certificate.Leaf.NotAfter):
		return fmt.Errorf("the serving certificate expires at %s, in less than %s", p.certificate.Leaf.NotAfter.UTC().Format(time.RFC3339), margin)
	}
	return nil
}
