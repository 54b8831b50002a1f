package admission

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"time"
)

// Lifetimes of certificates. The zero value of a field means its default.
type Lifetimes struct {
	// CA is the lifetime of a certificate authority; the default is 1 year. The next CA is created after half of it.
	CA time.Duration
	// Serving is the lifetime of a serving certificate; the default is 90 days. It is renewed after two thirds of it.
	Serving time.Duration
	// Overlap is how long clients trust the next CA before it signs the serving certificate; the default is 5 minutes.
	Overlap time.Duration
}

func (l Lifetimes) withDefaults() Lifetimes {
	for _, d := range []struct {
		of       *time.Duration
		standard time.Duration
	}{{&l.CA, 365 * 24 * time.Hour}, {&l.Serving, 90 * 24 * time.Hour}, {&l.Overlap, 5 * time.Minute}} {
		if *d.of == 0 {
			*d.of = d.standard
		}
	}
	return l
}

// Certificates are the contents of the certificate Secret, in PEM.
type Certificates struct {
	// CA and CAKey sign the serving certificate.
	CA, CAKey []byte
	// NextCA and NextCAKey replace CA and CAKey when clients have trusted them for Lifetimes.Overlap.
	NextCA, NextCAKey []byte
	// NextCreatedAt is the creation time of NextCA.
	NextCreatedAt time.Time
	// TrustBundle is the CAs that clients must trust: CA, NextCA, and earlier CAs until they expire.
	TrustBundle []byte
	// Cert and Key are the serving certificate and its key.
	Cert, Key []byte
}

// Rotate returns the certificates that are due now. It is pure except for random. published is the bundle that clients
// trust now: a CA that is not in it does not sign the serving certificate, unless there is no other CA. Rotate returns
// c if nothing changes.
func Rotate(
	c Certificates,
	names []string,
	published []byte,
	l Lifetimes,
	now time.Time,
	random io.Reader,
) (Certificates, error) {
	l = l.withDefaults()
	ca, err := parseSigner(c.CA, c.CAKey)
	if err != nil || !now.Before(ca.certificate.NotAfter) {
		return bootstrap(c, names, l, now, random)
	}
	if len(c.NextCA) > 0 {
		next, err := parseSigner(c.NextCA, c.NextCAKey)
		switch {
		case err != nil:
			c.NextCA, c.NextCAKey, c.NextCreatedAt = nil, nil, time.Time{}
		case now.Sub(c.NextCreatedAt) >= l.Overlap && contains(published, next.certificate):
			c.CA, c.CAKey, ca = c.NextCA, c.NextCAKey, next
			c.NextCA, c.NextCAKey, c.NextCreatedAt = nil, nil, time.Time{}
		}
	}
	if len(c.NextCA) == 0 && elapsed(ca.certificate, now) >= 0.5 {
		if _, c.NextCA, c.NextCAKey, err = newAuthority(l.CA, now, random); err != nil {
			return c, err
		}
		c.NextCreatedAt = now
	}
	c.TrustBundle = trustBundle(c, now)
	if served, err := parseServing(c.Cert, c.Key); err == nil && elapsed(served, now) < 2.0/3 &&
		served.CheckSignatureFrom(ca.certificate) == nil &&
		sameNames(served, names) {
		return c, nil
	}
	c.Cert, c.Key, err = ca.issue(names, min(l.Serving, ca.certificate.NotAfter.Sub(now)), now, random)
	return c, err
}

// bootstrap creates a new CA. The trusted CAs stay trusted, because other replicas may still serve their certificates.
func bootstrap(c Certificates, names []string, l Lifetimes, now time.Time, random io.Reader) (Certificates, error) {
	ca, cert, key, err := newAuthority(l.CA, now, random)
	if err != nil {
		return c, err
	}
	fresh := Certificates{CA: cert, CAKey: key, TrustBundle: c.TrustBundle}
	fresh.TrustBundle = trustBundle(fresh, now)
	fresh.Cert, fresh.Key, err = ca.issue(names, l.Serving, now, random)
	return fresh, err
}

// Equal reports whether c and o are the same.
func (c Certificates) Equal(o Certificates) bool {
	return bytes.Equal(c.CA, o.CA) && bytes.Equal(c.CAKey, o.CAKey) &&
		bytes.Equal(c.NextCA, o.NextCA) && bytes.Equal(c.NextCAKey, o.NextCAKey) &&
		c.NextCreatedAt.Equal(o.NextCreatedAt) && bytes.Equal(c.TrustBundle, o.TrustBundle) &&
		bytes.Equal(c.Cert, o.Cert) &&
		bytes.Equal(c.Key, o.Key)
}

// trustBundle returns CA, NextCA and the CAs trusted before, without duplicates and expired ones.
func trustBundle(c Certificates, now time.Time) []byte {
	var all []byte
	var seen [][]byte
	for _, certificate := range parseAll(slices.Concat(c.CA, c.NextCA, c.TrustBundle)) {
		if !now.Before(certificate.NotAfter) ||
			slices.ContainsFunc(seen, func(raw []byte) bool { return bytes.Equal(raw, certificate.Raw) }) {
			continue
		}
		seen = append(seen, certificate.Raw)
		all = append(all, encodePEM("CERTIFICATE", certificate.Raw)...)
	}
	return all
}

// elapsed returns the fraction of the lifetime that has passed.
func elapsed(c *x509.Certificate, now time.Time) float64 {
	return float64(now.Sub(c.NotBefore)) / float64(c.NotAfter.Sub(c.NotBefore))
}

func sameNames(c *x509.Certificate, names []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(c.DNSNames)), slices.Sorted(slices.Values(names)))
}

func contains(bundle []byte, certificate *x509.Certificate) bool {
	return slices.ContainsFunc(parseAll(bundle), certificate.Equal)
}

type signer struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(lifetime time.Duration, now time.Time, random io.Reader) (s signer, cert, key []byte, err error) {
	if s.key, err = ecdsa.GenerateKey(elliptic.P256(), random); err != nil {
		return s, nil, nil, fmt.Errorf("generate the key of a CA: %w", err)
	}
	template, err := template("weir-admission-ca", lifetime, now, random)
	if err != nil {
		return s, nil, nil, err
	}
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(random, template, template, s.key.Public(), s.key)
	if err != nil {
		return s, nil, nil, fmt.Errorf("sign a CA certificate: %w", err)
	}
	if s.certificate, err = x509.ParseCertificate(der); err != nil {
		return s, nil, nil, fmt.Errorf("parse a CA certificate: %w", err)
	}
	key, err = encodeKey(s.key)
	return s, encodePEM("CERTIFICATE", der), key, err
}

func (s signer) issue(
	names []string,
	lifetime time.Duration,
	now time.Time,
	random io.Reader,
) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, nil, fmt.Errorf("generate the key of a serving certificate: %w", err)
	}
	template, err := template(names[0], lifetime, now, random)
	if err != nil {
		return nil, nil, err
	}
	template.DNSNames = names
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{
		x509.ExtKeyUsageServerAuth,
	}
	der, err := x509.CreateCertificate(random, template, s.certificate, private.Public(), s.key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign a serving certificate: %w", err)
	}
	key, err = encodeKey(private)
	return encodePEM("CERTIFICATE", der), key, err
}

// clockSkew is how far the clocks of clients may lag behind.
const clockSkew = 5 * time.Minute

func template(name string, lifetime time.Duration, now time.Time, random io.Reader) (*x509.Certificate, error) {
	serial := make([]byte, 16)
	if _, err := io.ReadFull(random, serial); err != nil {
		return nil, fmt.Errorf("generate a serial number: %w", err)
	}
	serial[0] &= 0x7f
	// A common name has at most 64 characters.
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		Subject:      pkix.Name{CommonName: name[:min(len(name), 64)]},
		NotBefore:    now.Add(-min(clockSkew, lifetime/10)),
		NotAfter:     now.Add(lifetime),
	}, nil
}

var errNoCertificate = errors.New("no certificate")

func parseSigner(cert, key []byte) (signer, error) {
	certificates := parseAll(cert)
	if len(certificates) == 0 {
		return signer{}, errNoCertificate
	}
	block, _ := pem.Decode(key)
	if block == nil {
		return signer{}, errors.New("no private key")
	}
	private, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return signer{}, fmt.Errorf("parse the key of a CA: %w", err)
	}
	if !private.PublicKey.Equal(certificates[0].PublicKey) {
		return signer{}, errors.New("the key does not belong to the CA certificate")
	}
	return signer{certificate: certificates[0], key: private}, nil
}

func parseServing(cert, key []byte) (*x509.Certificate, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("parse the serving certificate: %w", err)
	}
	return pair.Leaf, nil
}

// parseAll returns the certificates of a bundle and skips everything else.
func parseAll(bundle []byte) []*x509.Certificate {
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, bundle = pem.Decode(bundle); block == nil {
			return all
		}
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			all = append(all, certificate)
		}
	}
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return encodePEM("EC PRIVATE KEY", der), nil
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
