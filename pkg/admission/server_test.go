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
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/weir-dev/weir/pkg/admission"
)

func newCertificates(t *testing.T) admission.Certificates {
	t.Helper()
	c, err := admission.Rotate(
		admission.Certificates{},
		[]string{"localhost"},
		nil,
		admission.Lifetimes{},
		time.Now(),
		rand.Reader,
	)
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

// send posts a review over a new connection that trusts one bundle.
func send(t *testing.T, url string, trusted []byte, client ...tls.Certificate) (string, error) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(trusted)
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool, Certificates: client},
		DisableKeepAlives: true,
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(validReview))
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

func TestCertificateUpdatesDoNotInterruptClients(t *testing.T) {
	t.Parallel()
	var store admission.CertStore
	assert.ErrorIs(t, store.Ready(time.Now(), 0), admission.ErrNoCertificate)
	first, second := newCertificates(t), newCertificates(t)
	changed, err := store.Update(first.Cert, first.Key)
	require.NoError(t, err)
	require.True(t, changed)
	url := serve(t, &admission.Server{Handler: handle(), CertStore: &store})

	both := bytes.Join([][]byte{first.TrustBundle, second.TrustBundle}, nil)
	for i := range 40 {
		if i == 20 {
			_, err := store.Update(second.Cert, second.Key)
			require.NoError(t, err)
		}
		body, err := send(t, url, both)
		require.NoError(t, err)
		require.Contains(t, body, "not a")
	}
	_, err = send(t, url, first.TrustBundle)
	assert.ErrorContains(t, err, "certificate")
	changed, err = store.Update([]byte("invalid"), second.Key)
	require.Error(t, err)
	assert.False(t, changed)
	_, err = send(t, url, second.TrustBundle)
	require.NoError(t, err, "the current certificate stays in use")
}

func TestAConnectionCarries5000RequestsAtTheSameTime(t *testing.T) {
	t.Parallel()
	const requests = 5000
	var store admission.CertStore
	c := newCertificates(t)
	_, err := store.Update(c.Cert, c.Key)
	require.NoError(t, err)
	var running atomic.Int64
	all := make(chan struct{})
	url := serve(t, &admission.Server{
		CertStore: &store,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				return
			}
			if running.Add(1) == requests {
				close(all)
			}
			select {
			case <-all:
			case <-r.Context().Done():
			}
		}),
	})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.TrustBundle)
	var connections atomic.Int64
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true, MaxConnsPerHost: 1,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			connections.Add(1)
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	request := func(method string) error {
		request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		return response.Body.Close()
	}
	// With the first response the client knows the limit of the connection.
	require.NoError(t, request(http.MethodHead))
	var group errgroup.Group
	for range requests {
		group.Go(func() error { return request(http.MethodGet) })
	}
	require.NoError(t, group.Wait(), "%d requests ran at the same time", running.Load())
	require.EqualValues(t, 1, connections.Load())
}

func TestNotReadyShortlyBeforeTheCertificateExpires(t *testing.T) {
	t.Parallel()
	var store admission.CertStore
	c := newCertificates(t)
	_, err := store.Update(c.Cert, c.Key)
	require.NoError(t, err)
	require.NoError(t, store.Ready(time.Now(), time.Hour))
	require.ErrorContains(t, store.Ready(store.NotAfter().Add(-time.Minute), time.Hour), "expires at")
	require.ErrorContains(t, store.Ready(time.Now().Add(-time.Hour), 0), "not valid before")
}

func TestClientsNeedACertificateOfAClientCA(t *testing.T) {
	t.Parallel()
	var store admission.CertStore
	server, client := newCertificates(t), newCertificates(t)
	_, err := store.Update(server.Cert, server.Key)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(client.TrustBundle)
	url := serve(
		t,
		&admission.Server{Handler: handle(), CertStore: &store, ClientCAs: func() *x509.CertPool { return pool }},
	)
	_, err = send(t, url, server.TrustBundle)
	require.Error(t, err, "a client without certificate is rejected")
	other, err := tls.X509KeyPair(server.Cert, server.Key)
	require.NoError(t, err)
	_, err = send(t, url, server.TrustBundle, other)
	require.Error(t, err, "a client with a certificate of another CA is rejected")
}

func TestChangedFilesAreReloaded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := admission.CertFiles{
		Cert:      filepath.Join(dir, "tls.crt"),
		Key:       filepath.Join(dir, "tls.key"),
		CertStore: &admission.CertStore{},
		Log:       slog.New(slog.DiscardHandler),
		Interval:  time.Millisecond,
	}
	_, err := files.Load()
	require.ErrorContains(t, err, "read the serving certificate")
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- files.Run(ctx) }()
	for range 2 {
		c := newCertificates(t)
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
