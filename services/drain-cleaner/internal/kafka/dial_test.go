package kafka_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/kafka"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/kafka/kafkatest"
)

// resolver resolves the known names to 127.0.0.1, or fails with their error. It records all names.
type resolver struct {
	known  map[string]error
	mu     sync.Mutex
	lookup []string
}

func (r *resolver) LookupHost(_ context.Context, host string) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lookup = append(r.lookup, host)
	if err, known := r.known[host]; known {
		return []string{"127.0.0.1"}, err
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func TestShortNamesResolveInThePolicysNamespaceFirst(t *testing.T) {
	t.Parallel()
	script := three
	script.Hosts = map[int32]string{0: "kafka-0.kafka", 1: "kafka-1.kafka", 2: "kafka-2.kafka"}
	fake := kafkatest.Start(t, script)
	_, port, err := net.SplitHostPort(fake.Bootstrap())
	require.NoError(t, err)
	brokers := map[string]error{"kafka-0.kafka.n.svc": nil, "kafka-1.kafka.n.svc": nil, "kafka-2.kafka.n.svc": nil}
	for name, test := range map[string]struct {
		bootstrap string
		known     map[string]error
		// lookups are the first names that must be resolved.
		lookups []string
		message string
	}{
		"Service": {bootstrap: "kafka", known: map[string]error{"kafka.n.svc": nil, "kafka": nil},
			lookups: []string{"kafka.n.svc"}},
		"pod of a headless Service": {bootstrap: "kafka-0.kafka", lookups: []string{"kafka-0.kafka.n.svc"}},
		"Service in another namespace": {bootstrap: "kafka.other", known: map[string]error{"kafka.other": nil},
			lookups: []string{"kafka.other.n.svc", "kafka.other"}},
		"host outside of the cluster": {bootstrap: "broker", known: map[string]error{"broker": nil},
			lookups: []string{"broker.n.svc", "broker"}},
		"unknown name": {bootstrap: "kafka",
			message: "cannot resolve the host kafka.n.svc or kafka of a broker: no such host",
			lookups: []string{"kafka.n.svc", "kafka"}},
		"resolver failure": {bootstrap: "kafka", lookups: []string{"kafka.n.svc"}, message: "server misbehaving",
			known: map[string]error{"kafka.n.svc": &net.DNSError{Err: "server misbehaving", Name: "kafka.n.svc"}, "kafka": nil}},
		"IP address": {bootstrap: "127.0.0.1", lookups: []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			names := &resolver{known: map[string]error{}}
			for _, known := range []map[string]error{brokers, test.known} {
				for host, err := range known {
					names.known[host] = err
				}
			}
			c := kafka.New(kafka.Options{Resolver: names, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- c.Run(ctx) }()
			t.Cleanup(func() { cancel(); assert.NoError(t, <-done) })
			cluster, fault := c.Query(t.Context(), policy(test.bootstrap+":"+port), time.Time{})
			names.mu.Lock()
			defer names.mu.Unlock()
			require.GreaterOrEqual(t, len(names.lookup), len(test.lookups), fault.Message)
			assert.Equal(t, test.lookups, names.lookup[:len(test.lookups):len(test.lookups)])
			if test.message != "" {
				assert.Equal(t, drainv1alpha1.ReasonKafkaUnreachable, fault.Reason)
				assert.Contains(t, fault.Message, test.message)
				return
			}
			require.NotNil(t, cluster, fault.Message)
			assert.Contains(t, strings.Join(names.lookup, " "), "kafka-0.kafka.n.svc", "advertised listeners")
		})
	}
}
