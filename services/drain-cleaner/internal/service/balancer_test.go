package service_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/weir-dev/weir/pkg/testkit"
)

// balancer sends each connection to one of its backends in turn.
type balancer struct {
	listener net.Listener
	mu       sync.Mutex
	backends []string
	next     atomic.Uint64
}

func newBalancer() (*balancer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &balancer{listener: l}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go b.pass(c)
		}
	}()
	return b, nil
}

func (b *balancer) port() string {
	_, port, _ := net.SplitHostPort(b.listener.Addr().String())
	return port
}

// add waits until the backend serves a certificate.
func (b *balancer) add(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, patience/2)
	defer cancel()
	if err := serves(ctx, address); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.backends = append(b.backends, address)
	return nil
}

// serves waits until a certificate is served: that is a replica's readiness.
func serves(ctx context.Context, address string) error {
	return testkit.Poll(ctx, "a certificate of "+address, func(ctx context.Context) error {
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
		c, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			c.Close()
		}
		return err
	})
}

func (b *balancer) remove(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.backends = slices.DeleteFunc(slices.Clone(b.backends), func(other string) bool { return other == address })
}

// set makes these the backends, as they are.
func (b *balancer) set(addresses []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.backends = addresses
}

func (b *balancer) pass(client net.Conn) {
	defer client.Close()
	b.mu.Lock()
	backends := b.backends
	b.mu.Unlock()
	if len(backends) == 0 {
		return
	}
	server, err := net.Dial("tcp", backends[b.next.Add(1)%uint64(len(backends))])
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
