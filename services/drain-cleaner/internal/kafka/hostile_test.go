package kafka_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/kafka/kafkatest"
)

// listen serves each connection with handle until the test ends, and returns the address.
func listen(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			go handle(conn)
		}
	}()
	return l.Addr().String()
}

// A user who may create policies reads only the status, not the log.
func TestFaultDoesNotRevealWhatListensOnAPort(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	secured := httptest.NewUnstartedServer(http.NotFoundHandler())
	secured.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	secured.StartTLS()
	t.Cleanup(secured.Close)
	targets := map[string]string{
		"closed port":    "127.0.0.1:1",
		"HTTP server":    plain.Listener.Addr().String(),
		"HTTPS server":   secured.Listener.Addr().String(),
		"SSH server":     listen(t, func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.9\r\n") }),
		"silent server":  listen(t, func(net.Conn) {}),
		"closes at once": listen(t, func(c net.Conn) { c.Close() }),
	}
	for name, test := range map[string]struct{ tls *drainv1alpha1.TLS }{
		"plaintext":               {},
		"TLS with the system CAs": {tls: &drainv1alpha1.TLS{}},
		"TLS with a CA":           {tls: &drainv1alpha1.TLS{CASecret: &drainv1alpha1.SecretKey{Name: "ca"}}},
	} {
		for target, address := range targets {
			t.Run(name+" to "+target, func(t *testing.T) {
				t.Parallel()
				known := secrets{"ca": {"ca.crt": certificate(t)}}
				p := policy(address, func(s *drainv1alpha1.KafkaDrainPolicySpec) { s.TLS = test.tls })
				cluster, fault := clusters(t, known).Query(t.Context(), p, time.Time{})
				assert.Nil(t, cluster)
				assert.Equal(t, decide.KafkaUnreachable, fault.Reason)
				want := "no Kafka broker answers at " + address + "; check spec.bootstrapServers, spec.tls, the advertised " +
					"listeners and network policies. The log of drain-cleaner has the cause"
				assert.Equal(t, want, fault.Message)
			})
		}
	}
}

// The brokers that a server advertises are dialed too.
func TestFaultDoesNotRevealWhatListensOnAnAdvertisedPort(t *testing.T) {
	t.Parallel()
	script := three
	script.Brokers, script.Hosts = []int32{0}, map[int32]string{0: "127.0.0.2"}
	fake := kafkatest.Start(t, script)
	cluster, fault := clusters(t, nil).Query(t.Context(), policy(fake.Bootstrap()), time.Time{})
	if cluster == nil {
		assert.NotContains(t, fault.Message, "refused")
		assert.NotContains(t, fault.Message, "127.0.0.2")
	}
}

func TestLargeResponseIsRejectedBeforeItIsRead(t *testing.T) {
	// Not parallel: it measures allocations.
	const announced = 64 << 20
	address := listen(t, func(c net.Conn) {
		var head [8]byte
		if _, err := io.ReadFull(c, head[:]); err == nil {
			_, _ = c.Write(binary.BigEndian.AppendUint32(nil, announced))
		}
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cluster, fault := clusters(t, nil).Query(t.Context(), policy(address), time.Time{})
	runtime.ReadMemStats(&after)
	assert.Nil(t, cluster)
	assert.Equal(t, decide.KafkaUnreachable, fault.Reason)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(announced/4))
	assert.False(t, strings.Contains(fault.Message, "64"), fault.Message)
}

// certificate returns a self-signed CA in PEM that has signed no server.
func certificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
