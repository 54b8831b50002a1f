package admission_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/admission"
)

func fresh(t *testing.T) admission.Certificates {
	t.Helper()
	c, err := admission.Rotate(admission.Certificates{}, []string{"localhost"}, nil, admission.Lifetimes{}, time.Now(), rand.Reader)
	require.NoError(t, err)
	return c
}

func serve(t *testing.T, s *admission.Server) string {
	t.Helper()
	listening := make(chan net.Addr, 1)
	s.Address, s.Log, s.OnListen = "127.0.0.1:0", slog.New(slog.DiscardHandler), func(a net.Addr) { listening <- a }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
	})
	select {
	case a := <-listening:
		_, port, err := net.SplitHostPort(a.String())
		require.NoError(t, err)
		return "https://localhost:" + port
	case err := <-done:
		done <- err
		t.Fatal(err)
		return ""
	}
}

// ask makes a new connection for each request, and trusts one bundle.
func ask(t *testing.T, url string, trusted []byte, client ...tls.Certificate) (string, error) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(trusted)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: client}, DisableKeepAlives: true}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(good))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func handle() http.Handler {
	return admission.Handler(admission.Options{Review: denyAll, Fallback: fallback})
}

func TestSwapsTheCertificateWithoutLosingAnyone(t *testing.T) {
	t.Parallel()
	var keeper admission.CertStore
	assert.ErrorIs(t, keeper.Ready(time.Now(), 0), admission.ErrNoCertificate)
	first, second := fresh(t), fresh(t)
	changed, err := keeper.Update(first.Cert, first.Key)
	require.NoError(t, err)
	require.True(t, changed)
	url := serve(t, &admission.Server{Handler: handle(), CertStore: &keeper})

	both := bytes.Join([][]byte{first.TrustBundle, second.TrustBundle}, nil)
	for i := range 40 {
		if i == 20 {
			_, err := keeper.Update(second.Cert, second.Key)
			require.NoError(t, err)
		}
		body, err := ask(t, url, both)
		require.NoError(t, err)
		require.Contains(t, body, "not a")
	}
	_, err = ask(t, url, first.TrustBundle)
	assert.ErrorContains(t, err, "certificate")
	changed, err = keeper.Update([]byte("torn"), second.Key)
	require.Error(t, err)
	assert.False(t, changed)
	_, err = ask(t, url, second.TrustBundle)
	require.NoError(t, err, "the one in use stays")
}

func TestIsNotReadyShortlyBeforeTheCertificateExpires(t *testing.T) {
	t.Parallel()
	var keeper admission.CertStore
	c := fresh(t)
	_, err := keeper.Update(c.Cert, c.Key)
	require.NoError(t, err)
	require.NoError(t, keeper.Ready(time.Now(), time.Hour))
	require.ErrorContains(t, keeper.Ready(keeper.NotAfter().Add(-time.Minute), time.Hour), "expires at")
	require.ErrorContains(t, keeper.Ready(time.Now().Add(-time.Hour), 0), "not valid before")
}

func TestLetsInWhoTheAuthorityKnows(t *testing.T) {
	t.Parallel()
	var keeper admission.CertStore
	server, client := fresh(t), fresh(t)
	_, err := keeper.Update(server.Cert, server.Key)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(client.TrustBundle)
	url := serve(t, &admission.Server{Handler: handle(), CertStore: &keeper, ClientCAs: func() *x509.CertPool { return pool }})
	_, err = ask(t, url, server.TrustBundle)
	require.Error(t, err, "nobody gets in without a certificate")
	stranger, err := tls.X509KeyPair(server.Cert, server.Key)
	require.NoError(t, err)
	_, err = ask(t, url, server.TrustBundle, stranger)
	require.Error(t, err, "nor with another's")
}

func TestLoadsFilesAnewWhenTheyChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := admission.CertFiles{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), CertStore: &admission.CertStore{}, Log: slog.New(slog.DiscardHandler), Interval: time.Millisecond}
	_, err := files.Load()
	require.ErrorContains(t, err, "read the serving certificate")
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- files.Run(ctx) }()
	for range 2 {
		c := fresh(t)
		require.NoError(t, os.WriteFile(files.Cert, c.Cert, 0o600))
		require.NoError(t, os.WriteFile(files.Key, c.Key, 0o600))
		want, err := tls.X509KeyPair(c.Cert, c.Key)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			got, err := files.CertStore.GetCertificate(nil)
			return err == nil && got.Leaf.Equal(want.Leaf)
		}, 10*time.Second, time.Millisecond)
	}
	cancel()
	require.NoError(t, <-done)
}
