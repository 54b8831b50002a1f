package kafka_test

import (
	"context"
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
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
	"k8s.io/apimachinery/pkg/types"

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
				assert.Equal(t, drainv1alpha1.ReasonKafkaUnreachable, fault.Reason)
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
	address := listen(t, func(c net.Conn) {
		var head [8]byte
		if _, err := io.ReadFull(c, head[:]); err == nil {
			_, _ = c.Write(binary.BigEndian.AppendUint32(nil, 64<<20))
		}
	})
	fault := queryWithin(t, 8<<20, address)
	assert.Contains(t, fault.Message, "no Kafka broker answers")
}

// queryWithin queries brokers, which must fail and allocate at most the given number of bytes.
func queryWithin(t *testing.T, limit uint64, address string) decide.Fault {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cluster, fault := clusters(t, nil).Query(t.Context(), policy(address), time.Time{})
	runtime.ReadMemStats(&after)
	assert.Nil(t, cluster)
	assert.Equal(t, drainv1alpha1.ReasonKafkaUnreachable, fault.Reason)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, limit)
	return fault
}

// answer serves a connection: ApiVersions as a broker does, other requests with the given response.
func answer(c net.Conn, response func(key, version int16) []byte) {
	for {
		var head [4]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		request := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(c, request); err != nil {
			return
		}
		key, version := int16(binary.BigEndian.Uint16(request)), int16(binary.BigEndian.Uint16(request[2:]))
		var body []byte
		if key == kmsg.ApiVersions.Int16() {
			versions := kmsg.NewPtrApiVersionsResponse()
			versions.Version = version
			for _, supported := range []kmsg.Key{kmsg.ApiVersions, kmsg.Metadata} {
				k := kmsg.NewApiVersionsResponseApiKey()
				k.ApiKey, k.MaxVersion = supported.Int16(), 4
				versions.ApiKeys = append(versions.ApiKeys, k)
			}
			body = versions.AppendTo(nil)
		} else {
			body = response(key, version)
		}
		frame := binary.BigEndian.AppendUint32(nil, uint32(4+len(body)))
		frame = append(append(frame, request[4:8]...), body...)
		if _, err := c.Write(frame); err != nil {
			return
		}
	}
}

// The decoder allocates an array with the length that the response claims.
func TestResponseThatClaimsLongArraysIsRejected(t *testing.T) {
	// Not parallel: it measures allocations.
	for name, claim := range map[string]func(body []byte){
		"brokers": func(body []byte) { binary.BigEndian.PutUint32(body[4:], uint32(len(body)-8)) },
		"topics": func(body []byte) {
			binary.BigEndian.PutUint16(body[8:], 0xffff) // no cluster id
			binary.BigEndian.PutUint32(body[14:], uint32(len(body)-18))
		},
	} {
		address := listen(t, func(c net.Conn) {
			answer(c, func(_, _ int16) []byte {
				body := make([]byte, 1<<20-64)
				claim(body)
				return body
			})
		})
		fault := queryWithin(t, 24<<20, address)
		assert.Contains(t, fault.Message, "the Metadata response is not valid", name)
	}
}

func TestErrorOfALargeMetadataResponseNamesTheFlag(t *testing.T) {
	// Not parallel: it measures allocations.
	address := listen(t, func(c net.Conn) {
		answer(c, func(_, _ int16) []byte { return make([]byte, 2<<20) })
	})
	fault := queryWithin(t, 24<<20, address)
	assert.Contains(t, fault.Message, "the limit is 1048576; raise --kafka-max-response-bytes and the memory limit")
}

// A cluster that is down and whose pods are being drained is queried all the time.
func TestClusterThatIsDownDoesNotPreventQueriesOfAnotherInTheNamespace(t *testing.T) {
	t.Parallel()
	down := policy(listen(t, func(net.Conn) {}))
	fake := kafkatest.Start(t, three)
	c := clusters(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var background sync.WaitGroup
	t.Cleanup(func() { cancel(); background.Wait() })
	for range 3 {
		background.Go(func() {
			for ctx.Err() == nil {
				_, _ = c.Query(ctx, down, time.Now())
			}
		})
	}
	for range 20 {
		cluster, fault := c.Query(t.Context(), policy(fake.Bootstrap()), time.Now())
		require.NotNil(t, cluster, fault.Message)
	}
}

func TestSlowBrokersOfANamespaceDoNotDelayOtherNamespaces(t *testing.T) {
	t.Parallel()
	silent := listen(t, func(net.Conn) {})
	fake := kafkatest.Start(t, three)
	c := clusters(t, nil)
	var waiting sync.WaitGroup
	for i := range 8 {
		slow := policy(silent)
		slow.UID, slow.Namespace = types.UID(strconv.Itoa(i)), "slow"
		waiting.Go(func() { _, _ = c.Query(t.Context(), slow, time.Time{}) })
	}
	for range 20 {
		started := time.Now()
		cluster, fault := c.Query(t.Context(), policy(fake.Bootstrap()), started)
		require.NotNil(t, cluster, fault.Message)
		require.Less(t, time.Since(started), 2*time.Second)
	}
	waiting.Wait()
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
