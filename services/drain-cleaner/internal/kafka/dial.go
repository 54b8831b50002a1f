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

// Resolver finds the addresses of a host.
type Resolver interface {
	LookupHost(ctx context.Context, host string) ([]string, error)
}

// dialer connects to the brokers of a policy, to those that it names and to those that they advertise, by what their names mean in the
// policy's namespace. That is where people write them from; drain-cleaner itself is in another one.
type dialer struct {
	resolver  Resolver
	namespace string
	// tls is nil for connections without it.
	tls *tls.Config
}

func (d dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("read the address of a broker: %w", err)
	}
	hosts := []string{host}
	if short(host) {
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
		// The name as it was given, for certificates are made out to that.
		config.ServerName = host
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("speak TLS with %s: %w", address, err)
	}
	return secured, nil
}

// short names are those that a pod's resolver completes with the pod's own namespace: a Service, or a pod of a headless one.
func short(host string) bool {
	_, err := netip.ParseAddr(host)
	return err != nil && host != "localhost" && strings.Count(host, ".") < 2 && !strings.HasSuffix(host, ".")
}

// lookup takes a short name for one of the policy's namespace, and only where there is no such one as it stands. Where the resolver fails
// otherwise it does not go on: the name might lead to the brokers of somebody else.
func (d dialer) lookup(ctx context.Context, host string) ([]string, error) {
	full := host + "." + d.namespace + ".svc"
	addresses, err := d.resolver.LookupHost(ctx, full)
	var failed *net.DNSError
	if err == nil || !errors.As(err, &failed) || !failed.IsNotFound {
		return addresses, err
	}
	if addresses, err = d.resolver.LookupHost(ctx, host); err != nil {
		return nil, fmt.Errorf("%w, nor is there a %s", err, full)
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
