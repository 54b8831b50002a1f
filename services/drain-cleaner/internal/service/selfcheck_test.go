package service_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/kafka/kafkatest"
)

// policy makes one and waits until it is followed.
func (h *house) policy(t *testing.T, namespace string, spec drainv1alpha1.KafkaDrainPolicySpec) {
	t.Helper()
	p := &drainv1alpha1.KafkaDrainPolicy{ObjectMeta: metav1.ObjectMeta{Name: "kafka"}, Spec: spec}
	_, err := h.weir.DrainV1alpha1().KafkaDrainPolicies(namespace).Create(t.Context(), p, metav1.CreateOptions{})
	require.NoError(t, err)
	h.status(t, namespace, func(s drainv1alpha1.KafkaDrainPolicyStatus) error {
		if meta.FindStatusCondition(s.Conditions, drainv1alpha1.ConditionReady) == nil {
			return errors.New("the policy has no status")
		}
		return nil
	})
}

// status waits until the policy's status is as wanted.
func (h *house) status(t *testing.T, namespace string, wanted func(drainv1alpha1.KafkaDrainPolicyStatus) error) {
	t.Helper()
	testkit.Eventually(t, patience, func(ctx context.Context) error {
		p, err := h.weir.DrainV1alpha1().KafkaDrainPolicies(namespace).Get(ctx, "kafka", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if err := wanted(p.Status); err != nil {
			return fmt.Errorf("%w: %+v", err, p.Status)
		}
		return nil
	})
}

func condition(kind string, status metav1.ConditionStatus, reason string) func(drainv1alpha1.KafkaDrainPolicyStatus) error {
	return func(s drainv1alpha1.KafkaDrainPolicyStatus) error {
		if c := meta.FindStatusCondition(s.Conditions, kind); c == nil || c.Status != status || c.Reason != reason {
			return fmt.Errorf("not %s=%s for %s", kind, status, reason)
		}
		return nil
	}
}

func scripted(namespace string) kafkatest.Script {
	return kafkatest.Script{ClusterID: "cluster-of-" + namespace, Brokers: []int32{0, 1, 2}, Partitions: []kafkatest.Partition{
		{Topic: "orders", Replicas: []int32{0, 1, 2}, ISR: []int32{0, 1, 2}, MinISR: 2},
	}}
}

func isr(ids ...int32) func(*kafkatest.Script) {
	return func(s *kafkatest.Script) { s.Partitions[0].ISR, s.Brokers = ids, ids }
}

var kafkaLabels = map[string]string{"app": "kafka"}

func selfCheck(bootstrap string) drainv1alpha1.KafkaDrainPolicySpec {
	return drainv1alpha1.KafkaDrainPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: kafkaLabels}, Mode: drainv1alpha1.ModeSelfCheck, BootstrapServers: bootstrap}
}

func TestServesKafkaWithoutAnOperator(t *testing.T) {
	t.Parallel()
	showLogs(t)
	h := install(t)
	ns := h.Namespace(t)
	h.nodes(t, 4)
	h.statefulSet(t, ns, "kafka", 3, kafkaLabels)
	fake := kafkatest.Start(t, scripted(ns))
	fake.Change(isr(0, 1))
	h.policy(t, ns, selfCheck(fake.Bootstrap()))
	first, second := h.pod(t, ns, "kafka-0"), h.pod(t, ns, "kafka-1")

	err := h.evict(t.Context(), ns, "kafka-0", "")
	require.True(t, apierrors.IsTooManyRequests(err), "%v", err)
	assert.ErrorContains(t, err, "NodeNotCordoned", "a healthy node")

	type result struct {
		output string
		err    error
	}
	drained := make(chan result, 1)
	go func() {
		output, err := h.drain(t.Context(), first.Spec.NodeName)
		drained <- result{output, err}
	}()
	h.status(t, ns, func(s drainv1alpha1.KafkaDrainPolicyStatus) error {
		if len(s.Drains) != 1 || s.Drains[0].Phase != drainv1alpha1.DrainWaiting || s.Drains[0].Reason != "AtMinISR" || s.Drains[0].BlockingPartitions[0] != "orders-0" {
			return errors.New("no drain waits for orders-0")
		}
		return nil
	})
	fake.Change(isr(0, 1, 2))
	done := <-drained
	t.Logf("kubectl drain has printed:\n%s", done.output)
	require.NoError(t, done.err)
	assert.Contains(t, done.output, "AtMinISR: partitions would be below min.insync.replicas without the broker: orders-0")

	// The replacement is there, but not in sync: the next one has to wait.
	fake.Change(isr(1, 2))
	h.allReady(t, ns, "kafka", 3)
	require.NoError(t, h.cordon(t.Context(), second.Spec.NodeName))
	h.status(t, ns, func(s drainv1alpha1.KafkaDrainPolicyStatus) error {
		if len(s.Drains) != 1 || s.Drains[0].Phase != drainv1alpha1.DrainReplacing || s.Drains[0].UID != first.UID || !strings.Contains(s.Drains[0].Message, "not in sync yet: orders-0") && !strings.Contains(s.Drains[0].Message, "not back in the cluster") {
			return errors.New("no replacement is waited for")
		}
		return nil
	})
	err = h.evict(t.Context(), ns, "kafka-1", "")
	require.True(t, apierrors.IsTooManyRequests(err), "%v", err)
	assert.ErrorContains(t, err, "AtMinISR")
	fake.Change(isr(0, 1, 2))
	testkit.Eventually(t, patience, func(ctx context.Context) error { return h.evict(ctx, ns, "kafka-1", second.UID) })
}

func (h *house) cordon(ctx context.Context, node string) error {
	_, err := h.Kubectl(ctx, "cordon", node)
	return err
}

func TestOfDrainsAtTheSameMomentOnePasses(t *testing.T) {
	t.Parallel()
	showLogs(t)
	h := install(t)
	ns := h.Namespace(t)
	h.nodes(t, 3)
	h.statefulSet(t, ns, "kafka", 3, kafkaLabels)
	fake := kafkatest.Start(t, scripted(ns))
	h.policy(t, ns, selfCheck(fake.Bootstrap()))
	for i := range 3 {
		require.NoError(t, h.cordon(t.Context(), h.pod(t, ns, fmt.Sprintf("kafka-%d", i)).Spec.NodeName))
	}
	testkit.Eventually(t, patience, func(ctx context.Context) error {
		err := h.evict(ctx, ns, "kafka-0", "", metav1.DryRunAll)
		if err != nil {
			return fmt.Errorf("a dry run is not allowed yet: %w", err)
		}
		return nil
	})
	// All at once, through both replicas; Kafka never shows that anything has happened.
	errs := make([]error, 12)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = h.evict(t.Context(), ns, fmt.Sprintf("kafka-%d", i%3), "") })
	}
	all.Wait()
	passed := map[int]bool{}
	for i, err := range errs {
		if err == nil || apierrors.IsNotFound(err) {
			passed[i%3] = true
			continue
		}
		assert.True(t, apierrors.IsTooManyRequests(err), "%v", err)
	}
	assert.LessOrEqual(t, len(passed), 1, "pods that were let go: %v", passed)
}

func TestSaysThatKafkaCannotBeReached(t *testing.T) {
	t.Parallel()
	showLogs(t)
	h := install(t)
	ns := h.Namespace(t)
	spec := selfCheck("127.0.0.1:1")
	spec.SASL = &drainv1alpha1.SASL{Mechanism: "PLAIN", Secret: "login"}
	h.policy(t, ns, spec)
	h.status(t, ns, condition(drainv1alpha1.ConditionKafkaReachable, metav1.ConditionFalse, "KafkaSecretInvalid"))
	h.status(t, ns, func(s drainv1alpha1.KafkaDrainPolicyStatus) error {
		if c := meta.FindStatusCondition(s.Conditions, drainv1alpha1.ConditionKafkaReachable); !strings.Contains(c.Message, "bind the ClusterRole weir-drain-cleaner-secrets in namespace "+ns) {
			return errors.New("the cure is not named")
		}
		return nil
	})
}

func TestSaysSoonThatKafkaIsAwayAndBackAndWritesNothingAtRest(t *testing.T) {
	t.Parallel()
	showLogs(t)
	h := install(t)
	ns := h.Namespace(t)
	fake := kafkatest.Start(t, scripted(ns))
	h.policy(t, ns, selfCheck(fake.Bootstrap()))
	h.status(t, ns, condition(drainv1alpha1.ConditionKafkaReachable, metav1.ConditionTrue, "KafkaAnswers"))
	fake.Change(func(s *kafkatest.Script) { s.Fail = kerr.TopicAuthorizationFailed })
	h.status(t, ns, condition(drainv1alpha1.ConditionKafkaReachable, metav1.ConditionFalse, "KafkaUnreachable"))
	h.atRest(t, ns, fake)
	fake.Change(func(s *kafkatest.Script) { s.Fail = nil })
	h.status(t, ns, condition(drainv1alpha1.ConditionKafkaReachable, metav1.ConditionTrue, "KafkaAnswers"))
	h.atRest(t, ns, fake)
}

// atRest watches the policy through several looks at Kafka: nothing is written.
func (h *house) atRest(t *testing.T, namespace string, fake *kafkatest.Cluster) {
	t.Helper()
	version := func() string {
		p, err := h.weir.DrainV1alpha1().KafkaDrainPolicies(namespace).Get(t.Context(), "kafka", metav1.GetOptions{})
		require.NoError(t, err)
		return p.ResourceVersion
	}
	before, looks := version(), fake.Queries()
	testkit.Eventually(t, patience, func(context.Context) error {
		if n := fake.Queries() - looks; n < 5 {
			return fmt.Errorf("Kafka has been looked at %d times", n)
		}
		return nil
	})
	assert.Equal(t, before, version(), "writes at rest")
}
