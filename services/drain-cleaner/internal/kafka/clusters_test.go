package kafka_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/kafka"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/kafka/kafkatest"
)

const password = "hunter2-never-shown"

type secrets map[string]map[string][]byte

func (s secrets) Secret(_ context.Context, _, name string) (map[string][]byte, error) {
	if data, ok := s[name]; ok {
		return data, nil
	}
	return nil, errors.New("not found")
}

func policy(bootstrap string, change ...func(*drainv1alpha1.KafkaDrainPolicySpec)) *drainv1alpha1.KafkaDrainPolicy {
	p := &drainv1alpha1.KafkaDrainPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p", UID: types.UID(bootstrap), Generation: 1}}
	p.Spec.BootstrapServers = bootstrap
	for _, c := range change {
		c(&p.Spec)
	}
	return p
}

func clusters(t *testing.T, s secrets) *kafka.Clusters {
	t.Helper()
	c := kafka.New(kafka.Options{Secrets: s, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() { cancel(); assert.NoError(t, <-done) })
	return c
}

var three = kafkatest.Script{
	ClusterID: "scripted", Brokers: []int32{0, 1, 2}, Leader: 0, Voters: map[int32]int64{0: 1_000_000, 1: 1_000_000, 2: 990_000},
	Partitions: []kafkatest.Partition{
		{Topic: "orders", Replicas: []int32{0, 1, 2}, ISR: []int32{0, 1, 2}, MinISR: 2},
		{Topic: "carts", Replicas: []int32{0, 1}, ISR: []int32{0}, MinISR: 1},
	},
}

func TestSeesReplicasMinimumsAndQuorum(t *testing.T) {
	t.Parallel()
	fake := kafkatest.Start(t, three)
	c := clusters(t, nil)
	p := policy(fake.Bootstrap())
	cluster, fault := c.Look(t.Context(), p, time.Time{})
	require.NotNil(t, cluster, fault.Message)
	assert.Equal(t, "scripted", cluster.ID)
	assert.Equal(t, decide.AtMinISR, cluster.Judge(0, drainv1alpha1.RoleBroker, 0, nil).Reason, "carts has one replica in sync")
	fake.Change(func(s *kafkatest.Script) { s.Partitions[1].ISR = []int32{0, 1} })

	again, _ := c.Look(t.Context(), p, time.Time{})
	assert.Same(t, cluster, again, "a look serves for a while")
	fresh, fault := c.Look(t.Context(), p, time.Now())
	require.NotNil(t, fresh, fault.Message)
	assert.Equal(t, decide.QuorumAtRisk, fresh.Judge(0, drainv1alpha1.RoleBroker, 0, nil).Reason, "voter 2 lags by ten seconds")
	fake.Change(func(s *kafkatest.Script) { s.Voters = map[int32]int64{0: 1_000_000, 1: 1_000_000, 2: 999_000} })
	fresh, fault = c.Look(t.Context(), p, time.Now())
	require.NotNil(t, fresh, fault.Message)
	assert.Empty(t, fresh.Judge(0, drainv1alpha1.RoleBroker, 0, nil).Reason)
	fake.Change(func(s *kafkatest.Script) { s.Leader = -1 })
	fresh, fault = c.Look(t.Context(), p, time.Now())
	require.NotNil(t, fresh, fault.Message)
	assert.Equal(t, decide.QuorumLeaderless, fresh.Judge(0, drainv1alpha1.RoleBroker, 0, nil).Reason)
}

func TestSeesClustersWithoutAQuorum(t *testing.T) {
	t.Parallel()
	script := three
	script.Voters = nil
	fake := kafkatest.Start(t, script)
	cluster, fault := clusters(t, nil).Look(t.Context(), policy(fake.Bootstrap()), time.Time{})
	require.NotNil(t, cluster, fault.Message)
	assert.Nil(t, cluster.Quorum)
	assert.Equal(t, decide.QuorumUnknown, cluster.Judge(2, drainv1alpha1.RoleController, 0, nil).Reason)
}

func TestSaysWhyKafkaCannotBeAsked(t *testing.T) {
	t.Parallel()
	login := func(s *drainv1alpha1.KafkaDrainPolicySpec) {
		s.SASL = &drainv1alpha1.SASL{Mechanism: "SCRAM-SHA-512", Secret: "user"}
	}
	secured := kafkatest.Start(t, three, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "drain", password))
	broken := three
	broken.Fail = kerr.TopicAuthorizationFailed
	for name, test := range map[string]struct {
		policy  *drainv1alpha1.KafkaDrainPolicy
		secrets secrets
		reason  decide.Reason
		says    string
	}{
		"nobody listens there":  {policy: policy("127.0.0.1:1"), reason: decide.KafkaUnreachable, says: "refused"},
		"no such host":          {policy: policy("kafka.invalid:9092"), reason: decide.KafkaUnreachable, says: "kafka.invalid"},
		"the Secret is missing": {policy: policy(secured.Bootstrap(), login), reason: decide.KafkaSecretInvalid, says: "read Secret user: not found"},
		"the Secret lacks a key": {policy: policy(secured.Bootstrap(), login), secrets: secrets{"user": {"username": []byte("drain")}},
			reason: decide.KafkaSecretInvalid, says: "Secret user has no key password"},
		"the CA is none": {policy: policy(secured.Bootstrap(), func(s *drainv1alpha1.KafkaDrainPolicySpec) {
			s.TLS = &drainv1alpha1.TLS{CASecret: &drainv1alpha1.SecretKey{Name: "ca"}}
		}), secrets: secrets{"ca": {"ca.crt": []byte("nonsense")}}, reason: decide.KafkaSecretInvalid, says: "holds no certificate in PEM"},
		"the client's certificate is none": {policy: policy(secured.Bootstrap(), func(s *drainv1alpha1.KafkaDrainPolicySpec) {
			s.TLS = &drainv1alpha1.TLS{ClientSecret: "tls"}
		}), secrets: secrets{"tls": {"tls.crt": []byte(password), "tls.key": []byte(password)}}, reason: decide.KafkaSecretInvalid, says: "tls.crt and tls.key of Secret tls"},
		"TLS meets brokers without it": {policy: policy(kafkatest.Start(t, three).Bootstrap(), func(s *drainv1alpha1.KafkaDrainPolicySpec) { s.TLS = &drainv1alpha1.TLS{} }),
			reason: decide.KafkaUnreachable, says: "Kafka does not answer"},
		"topics may not be described": {policy: policy(kafkatest.Start(t, broken).Bootstrap()), reason: decide.KafkaUnreachable, says: "TOPIC_AUTHORIZATION_FAILED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			cluster, fault := clusters(t, test.secrets).Look(t.Context(), test.policy, time.Time{})
			assert.Nil(t, cluster)
			assert.Equal(t, test.reason, fault.Reason, fault.Message)
			assert.Contains(t, fault.Message, test.says)
			assert.NotContains(t, strings.ToLower(fault.Message), password)
			assert.Less(t, time.Since(began), 8*time.Second, "within the time of a review")
		})
	}
}
