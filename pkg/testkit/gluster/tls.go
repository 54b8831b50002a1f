//go:build linux

package gluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// CommonName is that of the certificate of Certificate.
const CommonName = "gluster-test"

// Certificate writes a certificate that is its own authority: <prefix>pem, <prefix>key and <prefix>ca.
func Certificate(t testing.TB, prefix string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fatal(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: CommonName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	fatal(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	fatal(t, err)
	for name, block := range map[string]*pem.Block{
		"pem": {Type: "CERTIFICATE", Bytes: der}, "ca": {Type: "CERTIFICATE", Bytes: der},
		"key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		fatal(t, os.WriteFile(prefix+name, pem.EncodeToMemory(block), 0o600))
	}
}

// CertificateDirectories are where builds of GlusterFS look for glusterfs.pem, glusterfs.key and glusterfs.ca: the
// directory of OpenSSL of the distribution.
var CertificateDirectories = []string{"/etc/ssl", "/usr/lib/ssl", "/etc/pki/tls"}

// RequireTLS makes all servers that are started later require TLS, also for the connections of glusterd. Clients need
// the returned file when they start. The test process has its own namespaces, so the machine does not change.
func RequireTLS(t testing.TB) (secureAccess string) {
	t.Helper()
	Need(t)
	const directory = "/var/lib/glusterd"
	certificate := filepath.Join(t.TempDir(), "glusterfs.")
	Certificate(t, certificate)
	for _, dir := range append([]string{directory}, CertificateDirectories...) {
		err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755")
		if errors.Is(err, unix.ENOENT) && dir != directory {
			continue
		}
		fatal(t, err)
		t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
		for _, name := range []string{"pem", "key", "ca"} {
			data, err := os.ReadFile(certificate + name)
			fatal(t, err)
			fatal(t, os.WriteFile(filepath.Join(dir, "glusterfs."+name), data, 0o600))
		}
	}
	secureAccess = filepath.Join(directory, "secure-access")
	fatal(t, os.WriteFile(secureAccess, nil, 0o600))
	return secureAccess
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
