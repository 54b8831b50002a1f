package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Resolver resolves host names.
type Resolver interface {
	LookupHost(ctx context.Context, host string) ([]string, error)
}

// dialer connects to the brokers of a policy. It resolves short names in the policy's namespace, as a pod in that
// namespace would. This applies to bootstrap servers and to advertised listeners.
type dialer struct {
	resolver  Resolver
	namespace string
	// tls is nil for plaintext connections.
	tls *tls.Config
}

func (d dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("parse broker address: %w", err)
	}
	hosts := []string{host}
	if isShortName(host) {
		if hosts, err = d.lookup(ctx, host); err != nil {
			return nil, err
		}
	}
	conn, err := connect(ctx, network, hosts, port)
	if err != nil || d.tls == nil {
		return conn, err
	}
	config := d.tls.Clone()
	if config.ServerName == "" {
		// Certificates are issued for the name as configured, not for the resolved name.
		config.ServerName = host
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("TLS handshake with %s: %w", address, err)
	}
	return secured, nil
}

// isShortName reports whether a pod's resolver would complete the name with the pod's namespace: the name of a Service,
// or of a pod of a headless Service.
func isShortName(host string) bool {
	_, err := netip.ParseAddr(host)
	return err != nil && host != "localhost" && strings.Count(host, ".") < 2 && !strings.HasSuffix(host, ".")
}

// lookup resolves a short name in the policy's namespace. If that name does not exist, it resolves the name as
// configured. Other resolver errors are returned: with a fallback, the name could resolve to the brokers of another
// cluster.
func (d dialer) lookup(ctx context.Context, host string) ([]string, error) {
	full := host + "." + d.namespace + ".svc"
	addresses, err := d.resolver.LookupHost(ctx, full)
	var failed *net.DNSError
	if err == nil || !errors.As(err, &failed) || !failed.IsNotFound {
		return addresses, err
	}
	if addresses, err = d.resolver.LookupHost(ctx, host); err != nil {
		return nil, fmt.Errorf("%w; %s does not exist either", err, full)
	}
	return addresses, nil
}

func connect(ctx context.Context, network string, hosts []string, port string) (net.Conn, error) {
	var all error
	for _, host := range hosts {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(host, port))
		if err == nil {
			return conn, nil
		}
		all = errors.Join(all, err)
	}
	return nil, all
}
