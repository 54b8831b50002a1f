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
)

// Server serves a handler over TLS with a Keeper's certificate.
type Server struct {
	// Address to listen at, for example :8443.
	Address string
	Handler http.Handler
	// Keeper gives the certificate, anew for each connection.
	CertStore *CertStore
	// ClientCAs are who has to have signed the client's certificate, asked for at each connection; nil lets every client in.
	ClientCAs func() *x509.CertPool
	// Linger is how long it goes on serving after the stop, while the API server may still have it among its endpoints.
	ShutdownDelay time.Duration
	Log           *slog.Logger
	// Listening is told the address; optional.
	OnListen func(net.Addr)
}

// shutdownTimeout is more than any review takes.
const shutdownTimeout = 15 * time.Second

// Run serves until ctx ends and Linger has passed; requests under way are answered.
func (s *Server) Run(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("listen at %s: %w", s.Address, err)
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
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		after := context.WithoutCancel(ctx)
		wait(after, s.ShutdownDelay)
		last, cancel := context.WithTimeout(after, shutdownTimeout)
		defer cancel()
		stopped <- server.Shutdown(last)
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
			own := config.Clone()
			own.GetConfigForClient = nil
			own.ClientCAs = s.ClientCAs()
			return own, nil
		}
	}
	return config
}

// wait returns when the time has passed or ctx has ended.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
