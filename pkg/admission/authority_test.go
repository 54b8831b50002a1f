package admission_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/admission"
)

var (
	epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	names = []string{"drain-cleaner.weir-system.svc", "drain-cleaner.weir-system.svc.cluster.local"}
)

func step(t *testing.T, c admission.Certificates, published []byte, now time.Time) admission.Certificates {
	t.Helper()
	next, err := admission.Rotate(c, names, published, admission.Lifetimes{}, now, rand.Reader)
	require.NoError(t, err)
	again, err := admission.Rotate(next, names, published, admission.Lifetimes{}, now, rand.Reader)
	require.NoError(t, err)
	require.True(t, again.Equal(next), "a second call changes nothing")
	return next
}

// trusts returns nil if a client that trusts bundle accepts the serving certificate of c.
func trusts(bundle []byte, c admission.Certificates, now time.Time) error {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(bundle)
	pair, err := tls.X509KeyPair(c.Cert, c.Key)
	if err != nil {
		return err
	}
	_, err = pair.Leaf.Verify(x509.VerifyOptions{DNSName: names[0], Roots: pool, CurrentTime: now})
	return err
}

func TestFirstServingCertificateIsTrusted(t *testing.T) {
	t.Parallel()
	c := step(t, admission.Certificates{}, nil, epoch)
	require.NoError(t, trusts(c.TrustBundle, c, epoch))
}

func TestServingCertificateIsRenewedByTheSameCA(t *testing.T) {
	t.Parallel()
	c := step(t, admission.Certificates{}, nil, epoch)
	later := epoch.Add(61 * 24 * time.Hour)
	renewed := step(t, c, c.TrustBundle, later)
	assert.NotEqual(t, c.Cert, renewed.Cert)
	assert.Equal(t, c.CA, renewed.CA)
	assert.Equal(t, c.TrustBundle, renewed.TrustBundle)
}

// The test simulates a year and a half in steps of a day. The published bundle and the serving certificate of a replica
// are each one day old.
func TestServingCertificateIsTrustedDuringEveryRotation(t *testing.T) {
	t.Parallel()
	c := step(t, admission.Certificates{}, nil, epoch)
	published, serving := c.TrustBundle, c
	cas := map[string]bool{string(c.CA): true}
	for day := range 550 {
		now := epoch.Add(time.Duration(day) * 24 * time.Hour)
		next := step(t, c, published, now)
		require.NoError(t, trusts(published, next, now), "day %d: new certificate, old bundle", day)
		require.NoError(t, trusts(next.TrustBundle, serving, now), "day %d: old certificate, new bundle", day)
		cas[string(next.CA)] = true
		serving, published, c = c, next.TrustBundle, next
	}
	assert.Len(t, cas, 3, "CAs in a year and a half")
}

func TestNextCAIsNotUsedBeforeItIsPublished(t *testing.T) {
	t.Parallel()
	c := step(t, admission.Certificates{}, nil, epoch)
	old := c.TrustBundle
	half := epoch.Add(184 * 24 * time.Hour)
	c = step(t, c, old, half)
	require.NotEmpty(t, c.NextCA)
	c = step(t, c, old, half.Add(time.Hour))
	require.NoError(t, trusts(old, c, half.Add(time.Hour)), "the bundle was not published")
	before := c.CA
	c = step(t, c, c.TrustBundle, half.Add(time.Hour))
	assert.NotEqual(t, before, c.CA, "the next CA is used after it is published")
}

func TestInvalidOrExpiredCAIsReplaced(t *testing.T) {
	t.Parallel()
	c := step(t, admission.Certificates{}, nil, epoch)
	invalid := c
	invalid.CAKey = []byte("invalid")
	other := step(t, admission.Certificates{}, nil, epoch)
	swapped := c
	swapped.CAKey = other.CAKey
	for name, test := range map[string]struct {
		have admission.Certificates
		now  time.Time
	}{
		"invalid": {invalid, epoch}, "key of another CA": {swapped, epoch},
		"expired": {c, epoch.Add(2 * 365 * 24 * time.Hour)},
	} {
		fresh := step(t, test.have, c.TrustBundle, test.now)
		require.NoError(t, trusts(fresh.TrustBundle, fresh, test.now), name)
	}
	assert.NotEqual(t, c.CA, other.CA)
}
