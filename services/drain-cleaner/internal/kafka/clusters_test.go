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
	p := &drainv1alpha1.KafkaDrainPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p", UID: types.UID(bootstrap), Generation: 1},
	}
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
	ClusterID: "scripted", Brokers: []int32{0, 1, 2},
	Leader: 0, Voters: map[int32]int64{0: 1_000_000, 1: 1_000_000, 2: 990_000},
	Partitions: []kafkatest.Partition{
		{Topic: "orders", Replicas: []int32{0, 1, 2}, ISR: []int32{0, 1, 2}, MinISR: 2},
		{Topic: "carts", Replicas: []int32{0, 1}, ISR: []int32{0}, MinISR: 1},
	},
}

func TestQueryReturnsReplicasMinimumsAndQuorum(t *testing.T) {
	t.Parallel()
	fake := kafkatest.Start(t, three)
	c := clusters(t, nil)
	p := policy(fake.Bootstrap())
	check := func(cluster *decide.Cluster) decide.Reason {
		return cluster.CheckRemoval(0, drainv1alpha1.RoleBroker, 0, nil).Reason
	}
	cluster, fault := c.Query(t.Context(), p, time.Time{})
	require.NotNil(t, cluster, fault.Message)
	assert.Equal(t, "scripted", cluster.ID)
	assert.Equal(t, drainv1alpha1.ReasonAtMinISR, check(cluster), "carts has one in-sync replica")

	fake.Change(func(s *kafkatest.Script) { s.Partitions[1].ISR = []int32{0, 1} })
	again, _ := c.Query(t.Context(), p, time.Time{})
	assert.Same(t, cluster, again, "a result is shared until MaxAge")
	for _, test := range []struct {
		reason decide.Reason
		change func(*kafkatest.Script)
		why    string
	}{
		{drainv1alpha1.ReasonQuorumAtRisk, func(*kafkatest.Script) {}, "voter 2 lags by ten seconds"},
		{"", func(s *kafkatest.Script) {
			s.Voters = map[int32]int64{0: 1_000_000, 1: 1_000_000, 2: 999_000}
		}, "all voters have caught up"},
		{drainv1alpha1.ReasonQuorumLeaderless, func(s *kafkatest.Script) { s.Leader = -1 }, "the quorum has no leader"},
	} {
		fake.Change(test.change)
		fresh, fault := c.Query(t.Context(), p, time.Now())
		require.NotNil(t, fresh, fault.Message)
		assert.Equal(t, test.reason, check(fresh), test.why)
	}
}

func TestQueryReadsTheEligibleLeaderReplicasOfPartitionsBelowTheMinimum(t *testing.T) {
	t.Parallel()
	script := three
	script.Voters = map[int32]int64{0: 1_000_000, 1: 1_000_000, 2: 1_000_000}
	script.Partitions = []kafkatest.Partition{
		{Topic: "zoo", Replicas: []int32{0, 1, 2}, ISR: []int32{0}, ELR: []int32{2}, MinISR: 2},
		{Topic: "carts", Replicas: []int32{0, 1, 2}, ISR: []int32{0}, MinISR: 2},
		{Topic: "orders", Replicas: []int32{0, 1, 2}, ISR: []int32{0, 2}, MinISR: 2},
	}
	fake := kafkatest.Start(t, script)
	c, p := clusters(t, nil), policy(fake.Bootstrap())
	cluster, fault := c.Query(t.Context(), p, time.Time{})
	require.NotNil(t, cluster, fault.Message)
	check := func(id int32) decide.Reason { return cluster.CheckRemoval(id, drainv1alpha1.RoleBroker, 0, nil).Reason }
	assert.Empty(t, check(1), "broker 1 is in no ISR and in no ELR")
	assert.Equal(t, drainv1alpha1.ReasonUnderMinISR, check(2), "broker 2 is in the ISR of orders")

	fake.Change(func(s *kafkatest.Script) { s.Partitions[2].ISR = []int32{0, 1} })
	cluster, fault = c.Query(t.Context(), p, time.Now())
	require.NotNil(t, cluster, fault.Message)
	assert.Equal(t, drainv1alpha1.ReasonUnderMinISR, check(2), "broker 2 is in no ISR, but in the ELR of zoo")
}

func TestQuorumIsNilForBrokersWithoutKRaft(t *testing.T) {
	t.Parallel()
	script := three
	script.Voters = nil
	fake := kafkatest.Start(t, script)
	cluster, fault := clusters(t, nil).Query(t.Context(), policy(fake.Bootstrap()), time.Time{})
	require.NotNil(t, cluster, fault.Message)
	assert.Nil(t, cluster.Quorum)
	verdict := cluster.CheckRemoval(2, drainv1alpha1.RoleController, 0, nil)
	assert.Equal(t, drainv1alpha1.ReasonQuorumUnknown, verdict.Reason)
}

func TestFaultNamesTheCauseWithoutSecrets(t *testing.T) {
	t.Parallel()
	type spec = drainv1alpha1.KafkaDrainPolicySpec
	login := func(s *spec) { s.SASL = &drainv1alpha1.SASL{Mechanism: "SCRAM-SHA-512", Secret: "user"} }
	trust := func(s *spec) { s.TLS = &drainv1alpha1.TLS{CASecret: &drainv1alpha1.SecretKey{Name: "ca"}} }
	present := func(s *spec) { s.TLS = &drainv1alpha1.TLS{ClientSecret: "tls"} }
	secured := kafkatest.Start(t, three, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "drain", password)).
		Bootstrap()
	plaintext := kafkatest.Start(t, three).Bootstrap()
	forbidden := three
	forbidden.Fail = kerr.TopicAuthorizationFailed
	for name, test := range map[string]struct {
		policy  *drainv1alpha1.KafkaDrainPolicy
		secrets secrets
		reason  decide.Reason
		message string
	}{
		"unknown host": {policy: policy("kafka.invalid:9092"), reason: drainv1alpha1.ReasonKafkaUnreachable,
			message: "cannot resolve the host kafka.invalid.n.svc or kafka.invalid of a broker: no such host"},
		"missing Secret": {policy: policy(secured, login), reason: drainv1alpha1.ReasonKafkaSecretInvalid,
			message: "cannot use Secret user: not found"},
		"missing key": {policy: policy(secured, login), secrets: secrets{"user": {"username": []byte("drain")}},
			reason: drainv1alpha1.ReasonKafkaSecretInvalid, message: "cannot use Secret user: key password is missing"},
		"invalid CA": {policy: policy(secured, trust), secrets: secrets{"ca": {"ca.crt": []byte("nonsense")}},
			reason:  drainv1alpha1.ReasonKafkaSecretInvalid,
			message: "cannot use Secret ca: key ca.crt contains no PEM certificate"},
		"invalid client certificate": {policy: policy(secured, present), reason: drainv1alpha1.ReasonKafkaSecretInvalid,
			secrets: secrets{"tls": {"tls.crt": []byte(password), "tls.key": []byte(password)}},
			message: "cannot use Secret tls: parse tls.crt and tls.key"},
		"TLS to a plaintext listener": {policy: policy(plaintext, func(s *spec) { s.TLS = &drainv1alpha1.TLS{} }),
			reason: drainv1alpha1.ReasonKafkaUnreachable, message: "no Kafka broker answers at"},
		"no permission to describe topics": {policy: policy(kafkatest.Start(t, forbidden).Bootstrap()),
			reason: drainv1alpha1.ReasonKafkaUnreachable, message: "TOPIC_AUTHORIZATION_FAILED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			started := time.Now()
			cluster, fault := clusters(t, test.secrets).Query(t.Context(), test.policy, time.Time{})
			assert.Nil(t, cluster)
			assert.Equal(t, test.reason, fault.Reason, fault.Message)
			assert.Contains(t, fault.Message, test.message)
			assert.NotContains(t, strings.ToLower(fault.Message), password)
			assert.Less(t, time.Since(started), 8*time.Second, "within the deadline of a review")
		})
	}
}
