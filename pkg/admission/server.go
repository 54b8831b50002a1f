package admission

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/weir-dev/weir/pkg/timer"
)

// Server serves a handler over TLS.
type Server struct {
	// Address to listen on, for example :8443.
	Address string
	Handler http.Handler
	// CertStore provides the certificate of each new connection.
	CertStore *CertStore
	// ClientCAs returns the CAs of client certificates for each new connection; nil accepts clients without
	// certificate.
	ClientCAs func() *x509.CertPool
	// ShutdownDelay is how long Run accepts connections after its context ends, until the endpoints are updated.
	ShutdownDelay time.Duration
	Log           *slog.Logger
	// OnListen is called with the address; optional.
	OnListen func(net.Addr)
}

// shutdownTimeout is longer than the deadline of a review.
const shutdownTimeout = 15 * time.Second

// maxStreams is the number of requests of one connection that are accepted at the same time. A client with more opens
// further connections, and a TLS handshake costs more than a request.
const maxStreams = 5000

// Run serves until ctx ends and ShutdownDelay has passed. It completes running requests.
func (s *Server) Run(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.Address, err)
	}
	if s.OnListen != nil {
		s.OnListen(listener.Addr())
	}
	s.Log.Info("serving admission reviews", "address", listener.Addr().String())
	server := &http.Server{
		Handler:           s.Handler,
		TLSConfig:         s.tls(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		after := context.WithoutCancel(ctx)
		timer.Sleep(after, s.ShutdownDelay)
		shutdown, cancel := context.WithTimeout(after, shutdownTimeout)
		defer cancel()
		stopped <- server.Shutdown(shutdown)
	})
	defer stop()
	if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve admission reviews: %w", err)
	}
	return <-stopped
}

func (s *Server) tls() *tls.Config {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		// HTTP/2 lets the API server send many reviews over one connection.
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: s.CertStore.GetCertificate,
	}
	if s.ClientCAs != nil {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			current := config.Clone()
			current.GetConfigForClient = nil
			current.ClientCAs = s.ClientCAs()
			return current, nil
		}
	}
	return config
}
