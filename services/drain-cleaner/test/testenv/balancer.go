package testenv

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/weir-dev/weir/pkg/testkit"
)

// Balancer forwards each TCP connection to the next of its backends. It stands for the Service.
type Balancer struct {
	listener net.Listener
	mu       sync.Mutex
	backends []string
	next     atomic.Uint64
}

// NewBalancer listens on a port of the loopback interface.
func NewBalancer() (*Balancer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &Balancer{listener: l}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go b.forward(c)
		}
	}()
	return b, nil
}

// Close stops listening.
func (b *Balancer) Close() error { return b.listener.Close() }

// Port that the balancer listens on.
func (b *Balancer) Port() string {
	_, port, _ := net.SplitHostPort(b.listener.Addr().String())
	return port
}

// Add adds a backend as soon as it serves a certificate, which is when a replica is ready.
func (b *Balancer) Add(ctx context.Context, address string) error {
	if err := WaitForCertificate(ctx, address); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.backends = append(b.backends, address)
	return nil
}

// WaitForCertificate waits until a TLS handshake with the address succeeds.
func WaitForCertificate(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout/2)
	defer cancel()
	return testkit.Poll(ctx, "a certificate of "+address, func(ctx context.Context) error {
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
		c, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// Remove removes a backend.
func (b *Balancer) Remove(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.backends = slices.DeleteFunc(slices.Clone(b.backends), func(other string) bool { return other == address })
}

// Set replaces all backends.
func (b *Balancer) Set(addresses []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.backends = addresses
}

func (b *Balancer) forward(client net.Conn) {
	b.mu.Lock()
	backends := b.backends
	b.mu.Unlock()
	var server net.Conn
	err := errors.New("no backend")
	if len(backends) > 0 {
		server, err = net.Dial("tcp", backends[b.next.Add(1)%uint64(len(backends))])
	}
	defer client.Close()
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, client)
		server.Close()
	}()
	_, _ = io.Copy(client, server)
}
