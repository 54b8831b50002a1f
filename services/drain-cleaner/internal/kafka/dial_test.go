package kafka_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/kafka"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/kafka/kafkatest"
)

// resolver knows the names that it is given, and remembers what it was asked.
type resolver struct {
	known map[string]error
	mu    sync.Mutex
	asked []string
}

func (r *resolver) LookupHost(_ context.Context, host string) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, host)
	if err, known := r.known[host]; known {
		return []string{"127.0.0.1"}, err
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func TestShortNamesAreThoseOfThePolicysNamespace(t *testing.T) {
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
		// asked is what the resolver is asked first.
		asked []string
		fault string
	}{
		"a Service":                        {bootstrap: "kafka", known: map[string]error{"kafka.n.svc": nil, "kafka": nil}, asked: []string{"kafka.n.svc"}},
		"a pod of a headless Service":      {bootstrap: "kafka-0.kafka", asked: []string{"kafka-0.kafka.n.svc"}},
		"a Service of another namespace":   {bootstrap: "kafka.other", known: map[string]error{"kafka.other": nil}, asked: []string{"kafka.other.n.svc", "kafka.other"}},
		"a name that is none of a Service": {bootstrap: "broker", known: map[string]error{"broker": nil}, asked: []string{"broker.n.svc", "broker"}},
		"nobody knows it":                  {bootstrap: "kafka", fault: "lookup kafka: no such host, nor is there a kafka.n.svc", asked: []string{"kafka.n.svc", "kafka"}},
		"the resolver fails": {bootstrap: "kafka", known: map[string]error{"kafka.n.svc": errors.New("server misbehaving"), "kafka": nil}, fault: "server misbehaving",
			asked: []string{"kafka.n.svc"}},
		"an address": {bootstrap: "127.0.0.1", asked: []string{}},
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
			cluster, fault := c.Look(t.Context(), policy(test.bootstrap+":"+port), time.Time{})
			names.mu.Lock()
			defer names.mu.Unlock()
			require.GreaterOrEqual(t, len(names.asked), len(test.asked), fault.Message)
			assert.Equal(t, test.asked, names.asked[:len(test.asked):len(test.asked)])
			if test.fault != "" {
				assert.Equal(t, decide.KafkaUnreachable, fault.Reason)
				assert.Contains(t, fault.Message, test.fault)
				return
			}
			require.NotNil(t, cluster, fault.Message)
			assert.Contains(t, strings.Join(names.asked, " "), "kafka-0.kafka.n.svc", "what the brokers advertise")
		})
	}
}
