package kafka

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
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
	// hasCA is true if the policy names the CA of the brokers. Then a verified peer is a trusted peer.
	hasCA bool
	// maxMetadata is the maximum size of a Metadata response.
	maxMetadata int32
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
	if err != nil {
		return nil, err
	}
	if d.tls == nil {
		return d.limit(conn), nil
	}
	verified := false
	config := d.tls.Clone()
	if config.ServerName == "" {
		// Certificates are issued for the name as configured, not for the resolved name.
		config.ServerName = host
	}
	config.VerifyConnection = func(tls.ConnectionState) error { verified = true; return nil }
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		err = fmt.Errorf("TLS handshake with %s: %w", address, err)
		if verified && d.hasCA || isCertificateError(err) && speaksKafka(ctx, network, hosts, port) {
			return nil, trustedPeerError{err}
		}
		return nil, err
	}
	if d.hasCA {
		return d.limit(trustedConn{secured}), nil
	}
	return d.limit(secured), nil
}

func (d dialer) limit(conn net.Conn) net.Conn {
	return &limitedConn{Conn: conn, maxMetadata: d.maxMetadata}
}

// trustedConn is a connection to a trusted peer. With TLS 1.3 the peer rejects the client certificate after the
// handshake.
type trustedConn struct{ net.Conn }

func (c trustedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	var alert *net.OpError
	if errors.As(err, &alert) && alert.Op == "remote error" {
		err = trustedPeerError{err}
	}
	return n, err
}

// speaksKafka reports whether a peer answers a Kafka request over TLS. It does not verify the peer's certificate, and
// sends no credentials and no client certificate.
func speaksKafka(ctx context.Context, network string, hosts []string, port string) bool {
	conn, err := connect(ctx, network, hosts, port)
	if err != nil {
		return false
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	secured := tls.Client(conn, &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true})
	if err := secured.HandshakeContext(ctx); err != nil {
		return false
	}
	const correlation = 20260101
	request := kmsg.NewPtrApiVersionsRequest()
	if _, err := secured.Write(kmsg.NewRequestFormatter().AppendRequest(nil, request, correlation)); err != nil {
		return false
	}
	var head [8]byte // size and correlation id
	_, err = io.ReadFull(secured, head[:])
	return err == nil && binary.BigEndian.Uint32(head[4:]) == correlation
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
		if errors.As(err, &failed) && failed.IsNotFound {
			return nil, &net.DNSError{Err: "no such host", Name: full + " or " + host, IsNotFound: true}
		}
		return nil, err
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
