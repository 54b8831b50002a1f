package admission

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// ErrNoCertificate is the error of TLS handshakes until a serving certificate is loaded.
var ErrNoCertificate = errors.New("no serving certificate is loaded")

// CertStore holds the serving certificate. Updates do not interrupt connections. The zero value has no certificate.
type CertStore struct{ current atomic.Pointer[pair] }

type pair struct {
	certificate tls.Certificate
	cert, key   []byte
}

// Update replaces the certificate by a PEM certificate chain and its key, and reports whether they differ from the
// current ones. After an error the current certificate stays in use. Errors never contain the key.
func (s *CertStore) Update(cert, key []byte) (changed bool, err error) {
	if old := s.current.Load(); old != nil && bytes.Equal(old.cert, cert) && bytes.Equal(old.key, key) {
		return false, nil
	}
	certificate, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return false, fmt.Errorf("parse the serving certificate: %w", err)
	}
	s.current.Store(&pair{certificate: certificate, cert: bytes.Clone(cert), key: bytes.Clone(key)})
	return true, nil
}

// GetCertificate implements the callback of tls.Config.
func (s *CertStore) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p := s.current.Load()
	if p == nil {
		return nil, ErrNoCertificate
	}
	return &p.certificate, nil
}

// NotAfter returns when the certificate expires, or the zero time if there is none.
func (s *CertStore) NotAfter() time.Time {
	p := s.current.Load()
	if p == nil {
		return time.Time{}
	}
	return p.certificate.Leaf.NotAfter
}

// Ready returns nil if the certificate is valid for longer than margin. A replica whose certificate is about to expire
// should not receive requests.
func (s *CertStore) Ready(now time.Time, margin time.Duration) error {
	p := s.current.Load()
	switch {
	case p == nil:
		return ErrNoCertificate
	case now.Before(p.certificate.Leaf.NotBefore):
		return fmt.Errorf(
			"the serving certificate is not valid before %s",
			p.certificate.Leaf.NotBefore.UTC().Format(time.RFC3339),
		)
	case !now.Add(margin).Before(p.certificate.Leaf.NotAfter):
		return fmt.Errorf(
			"the serving certificate expires at %s, in less than %s",
			p.certificate.Leaf.NotAfter.UTC().Format(time.RFC3339),
			margin,
		)
	}
	return nil
}
