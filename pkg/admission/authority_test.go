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
	dawn  = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	names = []string{"weir-drain-cleaner.weir-system.svc", "weir-drain-cleaner.weir-system.svc.cluster.local"}
)

func step(t *testing.T, c admission.Certificates, published []byte, now time.Time) admission.Certificates {
	t.Helper()
	next, err := admission.Rotate(c, names, published, admission.Lifetimes{}, now, rand.Reader)
	require.NoError(t, err)
	again, err := admission.Rotate(next, names, published, admission.Lifetimes{}, now, rand.Reader)
	require.NoError(t, err)
	require.True(t, again.Equal(next), "asking again changes nothing")
	return next
}

// trusts tells whether a client that trusts bundle would talk to a server of c.
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

func TestStartsWithAnAuthorityThatClientsTrust(t *testing.T) {
	t.Parallel()
	c := step(t, admission.Certificates{}, nil, dawn)
	require.NoError(t, trusts(c.TrustBundle, c, dawn))
}

func TestRenewsTheServingCertificateUnderTheSameAuthority(t *testing.T) {
	t.Parallel()
	c := step(t, admission.Certificates{}, nil, dawn)
	later := dawn.Add(61 * 24 * time.Hour)
	renewed := step(t, c, c.TrustBundle, later)
	assert.NotEqual(t, c.Cert, renewed.Cert)
	assert.Equal(t, c.CA, renewed.CA)
	assert.Equal(t, c.TrustBundle, renewed.TrustBundle)
}

// A year and a half of days, with published lagging one day behind and each served certificate lagging one day too: at no time is
// anything served that a client does not trust.
func TestNeverServesWhatIsNotTrusted(t *testing.T) {
	t.Parallel()
	c := step(t, admission.Certificates{}, nil, dawn)
	published, serving := c.TrustBundle, c
	authorities := map[string]bool{string(c.CA): true}
	for day := range 550 {
		now := dawn.Add(time.Duration(day) * 24 * time.Hour)
		next := step(t, c, published, now)
		require.NoError(t, trusts(published, next, now), "day %d: new certificate, old bundle", day)
		require.NoError(t, trusts(next.TrustBundle, serving, now), "day %d: old certificate, new bundle", day)
		authorities[string(next.CA)] = true
		serving, published, c = c, next.TrustBundle, next
	}
	assert.Len(t, authorities, 3, "authorities in a year and a half")
}

func TestServesNoAuthorityBeforeItIsPublished(t *testing.T) {
	t.Parallel()
	c := step(t, admission.Certificates{}, nil, dawn)
	old := c.TrustBundle
	half := dawn.Add(184 * 24 * time.Hour)
	c = step(t, c, old, half)
	require.NotEmpty(t, c.NextCA)
	c = step(t, c, old, half.Add(time.Hour))
	require.NoError(t, trusts(old, c, half.Add(time.Hour)), "the bundle could not be published")
	before := c.CA
	c = step(t, c, c.TrustBundle, half.Add(time.Hour))
	assert.NotEqual(t, before, c.CA, "once it is published it is used")
}

func TestBeginsAnewWhereTheSecretWasTornOrExpired(t *testing.T) {
	t.Parallel()
	c := step(t, admission.Certificates{}, nil, dawn)
	torn := c
	torn.CAKey = []byte("nonsense")
	other := step(t, admission.Certificates{}, nil, dawn)
	swapped := c
	swapped.CAKey = other.CAKey
	for name, test := range map[string]struct {
		have admission.Certificates
		now  time.Time
	}{
		"torn": {torn, dawn}, "another's key": {swapped, dawn}, "expired": {c, dawn.Add(2 * 365 * 24 * time.Hour)},
	} {
		fresh := step(t, test.have, c.TrustBundle, test.now)
		require.NoError(t, trusts(fresh.TrustBundle, fresh, test.now), name)
	}
	assert.NotEqual(t, c.CA, other.CA)
}
