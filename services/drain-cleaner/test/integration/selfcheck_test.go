package integration_test

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
	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

func TestSelfCheckDrainsBrokersWithoutAnOperator(t *testing.T) {
	t.Parallel()
	testenv.ShowLogs(t)
	env := testenv.Install(t)
	ns := env.Namespace(t)
	env.AddTestNodes(t, 4)
	env.StatefulSet(t, ns, "kafka", 3, testenv.KafkaLabels)
	fake := kafkatest.Start(t, testenv.Script(ns))
	fake.Change(testenv.InSync(0, 1))
	env.CreatePolicy(t, ns, testenv.SelfCheck(fake.Bootstrap()))
	first, second := env.Pod(t, ns, "kafka-0"), env.Pod(t, ns, "kafka-1")

	err := env.Evict(t.Context(), ns, "kafka-0", "")
	require.True(t, apierrors.IsTooManyRequests(err), "%v", err)
	assert.ErrorContains(t, err, "NodeNotCordoned", "a healthy node")

	require.NoError(t, env.Cordon(t.Context(), first.Spec.NodeName))
	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
		err := env.Evict(ctx, ns, "kafka-0", "", metav1.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), "AtMinISR") {
			return fmt.Errorf("not denied because of the in-sync replicas: %s", fmt.Sprint(err))
		}
		return nil
	})
	type result struct {
		output string
		err    error
	}
	drained := make(chan result, 1)
	go func() {
		output, err := env.Drain(t.Context(), first.Spec.NodeName)
		drained <- result{output, err}
	}()
	env.WaitForStatus(t, ns, func(s drainv1alpha1.KafkaDrainPolicyStatus) error {
		if len(s.Drains) != 1 || s.Drains[0].Phase != drainv1alpha1.DrainWaiting || s.Drains[0].Reason != "AtMinISR" ||
			s.Drains[0].BlockingPartitions[0] != "orders-0" {
			return errors.New("no drain waits for orders-0")
		}
		return nil
	})
	fake.Change(testenv.InSync(0, 1, 2))
	done := <-drained
	t.Logf("kubectl drain printed:\n%s", done.output)
	require.NoError(t, done.err)
	assert.Contains(
		t,
		done.output,
		"AtMinISR: partitions would drop below min.insync.replicas without the broker: orders-0",
	)

	// The replacement is not in sync. The next drain has to wait.
	fake.Change(testenv.InSync(1, 2))
	env.WaitForReady(t, ns, "kafka", 3)
	require.NoError(t, env.Cordon(t.Context(), second.Spec.NodeName))
	env.WaitForStatus(t, ns, func(s drainv1alpha1.KafkaDrainPolicyStatus) error {
		if len(s.Drains) != 1 || s.Drains[0].Phase != drainv1alpha1.DrainReplacing || s.Drains[0].UID != first.UID ||
			!strings.Contains(s.Drains[0].Message, "not in sync yet: orders-0") &&
				!strings.Contains(s.Drains[0].Message, "has not rejoined the cluster") {
			return errors.New("no drain waits for the replacement")
		}
		return nil
	})
	err = env.Evict(t.Context(), ns, "kafka-1", "")
	require.True(t, apierrors.IsTooManyRequests(err), "%v", err)
	assert.ErrorContains(t, err, "AtMinISR")
	fake.Change(testenv.InSync(0, 1, 2))
	testkit.Eventually(
		t,
		testenv.Timeout,
		func(ctx context.Context) error { return env.Evict(ctx, ns, "kafka-1", second.UID) },
	)
}

func TestOneOfSeveralConcurrentDrainsPasses(t *testing.T) {
	t.Parallel()
	testenv.ShowLogs(t)
	env := testenv.Install(t)
	ns := env.Namespace(t)
	env.AddTestNodes(t, 3)
	env.StatefulSet(t, ns, "kafka", 3, testenv.KafkaLabels)
	fake := kafkatest.Start(t, testenv.Script(ns))
	env.CreatePolicy(t, ns, testenv.SelfCheck(fake.Bootstrap()))
	for i := range 3 {
		require.NoError(t, env.Cordon(t.Context(), env.Pod(t, ns, fmt.Sprintf("kafka-%d", i)).Spec.NodeName))
	}
	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
		err := env.Evict(ctx, ns, "kafka-0", "", metav1.DryRunAll)
		if err != nil {
			return fmt.Errorf("a dry run is not allowed yet: %w", err)
		}
		return nil
	})
	// All at once, through both replicas. The state of Kafka never changes.
	errs := make([]error, 12)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = env.Evict(t.Context(), ns, fmt.Sprintf("kafka-%d", i%3), "") })
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
	assert.LessOrEqual(t, len(passed), 1, "evicted pods: %v", passed)
}

func TestMissingPermissionToReadSecretsIsReported(t *testing.T) {
	t.Parallel()
	testenv.ShowLogs(t)
	env := testenv.Install(t)
	ns := env.Namespace(t)
	spec := testenv.SelfCheck("127.0.0.1:1")
	spec.SASL = &drainv1alpha1.SASL{Mechanism: "PLAIN", Secret: "login"}
	env.CreatePolicy(t, ns, spec)
	env.WaitForStatus(
		t,
		ns,
		testenv.Condition(drainv1alpha1.ConditionKafkaReachable, metav1.ConditionFalse, "KafkaSecretInvalid"),
	)
	env.WaitForStatus(t, ns, func(s drainv1alpha1.KafkaDrainPolicyStatus) error {
		if c := meta.FindStatusCondition(s.Conditions, drainv1alpha1.ConditionKafkaReachable); !strings.Contains(
			c.Message,
			"bind the ClusterRole weir-drain-cleaner-secrets in namespace "+ns,
		) {
			return errors.New("the message does not name the solution")
		}
		return nil
	})
}

func TestKafkaReachableFollowsKafkaAndAnIdlePolicyIsNotWritten(t *testing.T) {
	t.Parallel()
	testenv.ShowLogs(t)
	env := testenv.Install(t)
	ns := env.Namespace(t)
	fake := kafkatest.Start(t, testenv.Script(ns))
	env.CreatePolicy(t, ns, testenv.SelfCheck(fake.Bootstrap()))
	env.WaitForStatus(
		t,
		ns,
		testenv.Condition(drainv1alpha1.ConditionKafkaReachable, metav1.ConditionTrue, "KafkaAnswers"),
	)
	fake.Change(func(s *kafkatest.Script) { s.Fail = kerr.TopicAuthorizationFailed })
	env.WaitForStatus(
		t,
		ns,
		testenv.Condition(drainv1alpha1.ConditionKafkaReachable, metav1.ConditionFalse, "KafkaUnreachable"),
	)
	requireNoWrites(t, env, ns, fake)
	fake.Change(func(s *kafkatest.Script) { s.Fail = nil })
	env.WaitForStatus(
		t,
		ns,
		testenv.Condition(drainv1alpha1.ConditionKafkaReachable, metav1.ConditionTrue, "KafkaAnswers"),
	)
	requireNoWrites(t, env, ns, fake)
}

// requireNoWrites waits until Kafka has been queried five more times and checks that the policy was not written.
func requireNoWrites(t *testing.T, env *testenv.Env, namespace string, fake *kafkatest.Cluster) {
	t.Helper()
	version := func() string {
		p, err := env.Weir.DrainV1alpha1().KafkaDrainPolicies(namespace).Get(t.Context(), "kafka", metav1.GetOptions{})
		require.NoError(t, err)
		return p.ResourceVersion
	}
	before, queries := version(), fake.Queries()
	testkit.Eventually(t, testenv.Timeout, func(context.Context) error {
		if n := fake.Queries() - queries; n < 5 {
			return fmt.Errorf("Kafka was queried %d times", n)
		}
		return nil
	})
	assert.Equal(t, before, version(), "writes of an idle policy")
}
